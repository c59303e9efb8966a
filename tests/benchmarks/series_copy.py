"""The reader's copy of a series on disk: cost of writing, size, time of each answer.

python -m tests.benchmarks.series_copy --devices 1000 --days 365

Writes by the copy's own interface, no Kafka: hours of all devices in order of time (`--hours` of
them in one transaction), with a reading of whole watt-hours in each quarter, then a day of live
commits, each of which changes one quarter of `--changed` hours. Then it asks each question again
and again, of periods that differ.
"""

from __future__ import annotations

import argparse
import random
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import lmdb

from api.view.copy.commit import Commit
from api.view.series import Filter, Period
from api.view.series_copy.copy import SeriesCopy
from api.view.series_copy.snapshot import SeriesSnapshot
from contract.changelog import Marker
from contract.hour_rows import HourKey, encode_key
from tests.benchmarks.machine import processor
from tests.series_rows import Hour, Quarter, encode_hour

FIRST_DAY = 19_723  # 2024-01-01
READINGS = 1
MAP_BYTES = 100_000_000_000
CHOICES = 1_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--devices", type=int, default=1_000)
    parser.add_argument("--places", type=int, default=100)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--hours", type=int, default=24, help="hours in a transaction")
    parser.add_argument("--every", type=int, default=1, help="one of so many hours has readings")
    parser.add_argument("--changed", type=int, default=1_000, help="rows of a live commit")
    parser.add_argument("--commits", type=int, default=20, help="live commits")
    parser.add_argument("--asked", type=int, default=200, help="times of each question")
    parser.add_argument("--directory", type=Path, help="keep the copy here, or use what is there")
    options = parser.parse_args()
    print(f"machine: {processor()}, lmdb {lmdb.__version__}")
    directory = options.directory or Path(tempfile.mkdtemp(prefix="series-copy-"))
    copy = SeriesCopy.open(directory, "benchmark", map_bytes=MAP_BYTES)
    try:
        if not copy.positions():
            load(copy, options)
        sizes(directory, options)
        live(copy, options)
        with copy.snapshot() as series:
            ask(series, options)
    finally:
        copy.close()
        if options.directory is None:
            shutil.rmtree(directory)
    print(f"memory at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MiB")


def load(
    copy: SeriesCopy,
    options: argparse.Namespace,
    at: tuple[Marker, int] | None = None,
    keys: Sequence[tuple[str, str]] = (),
) -> None:
    """Write all hours in order of time; the time to make the rows does not count.

    Partition 0 is left `at` a marker and a position; without, at such as nobody goes on from.
    `keys` are device and place of each, where they are not to be device_0 and so on.
    """
    keys = keys or [
        (f"device_{device}", f"place {device % options.places}")
        for device in range(options.devices)
    ]
    values = some_values()
    writing, rows_written = 0.0, 0
    for start in range(FIRST_DAY * 24, (FIRST_DAY + options.days) * 24, options.hours):
        rows: dict[bytes, bytes | None] = {}
        for hour in range(start, start + options.hours, options.every):
            for device_id, location in keys:
                rows[encode_key(HourKey(device_id, hour, location))] = random.choice(values)
        began = time.perf_counter()
        marker, position = at or (Marker(start), start)
        copy.write([Commit(0, rows, marker, position)])
        writing += time.perf_counter() - began
        rows_written += len(rows)
    print(
        f"load: {rows_written:,} hours of {options.devices:,} devices in {writing:.1f} s, "
        f"{rows_written / writing:,.0f} hours/s, {options.hours} hours in a transaction"
    )


def some_values() -> list[bytes]:
    """Hours with a reading in each quarter, at any second of it."""
    chance = random.Random(1)
    values: list[bytes] = []
    for _ in range(CHOICES):
        first, last = chance.randrange(900), 2_700 + chance.randrange(900)
        cells = [Quarter(chance.randrange(5_000), READINGS) for _ in range(4)]
        values.append(encode_hour(Hour(first, last, (cells[0], cells[1], cells[2], cells[3]))))
    return values


def sizes(directory: Path, options: argparse.Namespace) -> None:
    data = directory / "copy" / "data.mdb"
    size = data.stat().st_blocks * 512
    device_days = options.devices * options.days
    print(f"size: {size / 1e6:,.0f} MB on disk, {size / device_days:,.0f} bytes for a device-day")


def live(copy: SeriesCopy, options: argparse.Namespace) -> None:
    """Write the last day's hours again, a quarter later with each commit."""
    chance = random.Random(2)
    took: list[float] = []
    position = max(copy.positions().values())
    changed = min(options.changed, options.devices)
    for number in range(options.commits):
        hour = (FIRST_DAY + options.days) * 24 - 24 + number % 24
        rows: dict[bytes, bytes | None] = {}
        for device in chance.sample(range(options.devices), changed):
            cells = [Quarter(chance.randrange(5_000), READINGS) for _ in range(4)]
            key = HourKey(f"device_{device}", hour, f"place {device % options.places}")
            rows[encode_key(key)] = encode_hour(
                Hour(0, 3_599, (cells[0], cells[1], cells[2], cells[3]))
            )
        began = time.perf_counter()
        copy.write([Commit(0, rows, Marker(position + number), position + number)])
        took.append(time.perf_counter() - began)
    middle = statistics.median(took)
    print(
        f"live: a commit of {changed:,} changed hours takes {middle * 1e3:.1f} ms (at most "
        f"{max(took) * 1e3:.1f}), {middle / changed * 1e6:.1f} us for each"
    )


def questions(
    options: argparse.Namespace,
) -> dict[str, Callable[[SeriesSnapshot, random.Random], object]]:
    start, end = FIRST_DAY, FIRST_DAY + options.days
    berlin = ZoneInfo("Europe/Berlin")
    months = [quarter_of(instant) for instant in month_starts(start, end)]
    everybody = Filter()

    def device(chance: random.Random) -> Filter:
        return Filter([f"device_{chance.randrange(options.devices)}"])

    def local(day: int) -> int:
        """The quarter at which a day begins in Berlin."""
        instant = datetime.fromtimestamp(day * 86_400, UTC).replace(tzinfo=berlin)
        return quarter_of(instant)

    def groups(
        series: SeriesSnapshot,
        edges: list[int],
        only: Filter,
        by_device: bool = False,
        by_location: bool = False,
    ) -> object:
        return list(series.groups(edges, only, by_device=by_device, by_location=by_location))

    def days_of(chance: random.Random, count: int) -> range:
        first = chance.randrange(start, max(end - count, start) + 1)
        return range(first, min(first + count, end))

    def top(series: SeriesSnapshot, period: Period) -> object:
        found = series.by_device(period, everybody)
        return sorted(found, key=lambda each: each.total, reverse=True)[:10]

    def local_period(days: range) -> Period:
        return Period(local(days.start), local(days.stop))

    return {
        "a device, a year of days": lambda series, chance: groups(
            series, [day * 96 for day in range(start, end + 1)], device(chance)
        ),
        "a device, a year of days in Berlin": lambda series, chance: groups(
            series, [local(day) for day in range(start, end + 1)], device(chance)
        ),
        "a device, a month of hours": lambda series, chance: groups(
            series,
            list(range((days := days_of(chance, 31)).start * 96, days.stop * 96 + 1, 4)),
            device(chance),
        ),
        "a device": lambda series, chance: series.device(
            f"device_{chance.randrange(options.devices)}", everybody
        ),
        "fleet by month": lambda series, chance: groups(series, months, everybody),
        "fleet, a month of quarters": lambda series, chance: groups(
            series,
            list(range((days := days_of(chance, 31)).start * 96, days.stop * 96 + 1)),
            everybody,
        ),
        "by location, a month": lambda series, chance: series.by_location(
            Period((days := days_of(chance, 31)).start * 96, days.stop * 96), everybody
        ),
        "by location, a month in Berlin": lambda series, chance: series.by_location(
            local_period(days_of(chance, 31)), everybody
        ),
        "by location, a day in Berlin": lambda series, chance: series.by_location(
            local_period(days_of(chance, 1)), everybody
        ),
        "by location, all time": lambda series, chance: series.by_location(None, everybody),
        "top 10 of a day": lambda series, chance: top(
            series, Period((days := days_of(chance, 1)).start * 96, days.stop * 96)
        ),
        "top 10 of a day in Berlin": lambda series, chance: top(
            series, local_period(days_of(chance, 1))
        ),
        "top 10 of a month": lambda series, chance: top(
            series, Period((days := days_of(chance, 31)).start * 96, days.stop * 96)
        ),
        "extent": lambda series, chance: series.extent(everybody),
    }


def month_starts(start: int, end: int) -> Iterator[datetime]:
    """The first days of months that the days are in, and the next."""
    instant = datetime.fromtimestamp(start * 86_400, UTC)
    last = datetime.fromtimestamp(end * 86_400, UTC)
    while True:
        yield instant
        if instant >= last:
            return
        instant = (
            instant.replace(month=instant.month + 1)
            if instant.month < 12
            else instant.replace(year=instant.year + 1, month=1)
        )


def quarter_of(instant: datetime) -> int:
    return int(instant.timestamp()) // 900


def ask(series: SeriesSnapshot, options: argparse.Namespace) -> None:
    chance = random.Random(3)
    print(f"{'milliseconds':36} {'first':>8} {'p50':>8} {'p99':>8}  times")
    for name, question in questions(options).items():
        took: list[float] = []
        deadline = time.perf_counter() + 20
        while len(took) < options.asked and (len(took) < 5 or time.perf_counter() < deadline):
            began = time.perf_counter()
            question(series, chance)
            took.append((time.perf_counter() - began) * 1e3)
        first, took = took[0], sorted(took)
        p99 = took[min(len(took) - 1, int(len(took) * 0.99))]
        print(f"{name:36} {first:8.2f} {statistics.median(took):8.2f} {p99:8.2f}  {len(took)}")


if __name__ == "__main__":
    main()
