"""A large fleet behind the real routes, for tests.benchmarks.page: its copies are on disk.

`python -m tests.benchmarks.page_fleet DEVICES PLACES DAYS EVERY DIRECTORY HOME PORT EVENTS` prints
the admin token when it serves. One device in a hundred has a name that is meant to hurt. Totals
come as commits of readings do, the series by its copy's own interface: one of EVERY hours of each
day, so books do not balance. Kafka and the worker are left out: what is posted is counted at once.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, redirect_stdout
from pathlib import Path

from api.view.copy.commit import Commit
from api.view.series_copy.copy import SeriesCopy
from api.view.series_copy.snapshot import SeriesSnapshot
from api.view.totals_view import TotalsView
from contract.changelog import Marker
from contract.energy_series import ENERGY_SERIES
from contract.quarter_sums import QuarterSums
from contract.validation import Reading
from tests.api_doubles import filled_view
from tests.benchmarks.series_copy import MAP_BYTES, load
from tests.ui.serving import Fleet, run, serve, settings_of

#: One in so many devices, and in so many places.
HOSTILE = 100
AT_ONCE = 20_000
#: In an hour that `load` leaves empty.
BEGAN = "2024-01-01 23:00:00"


def hostile(number: int) -> str:
    """A name that breaks pages, no two alike."""
    forms = (
        f"<img src=x onerror=\"document.title='broken'\">{number}",
        f"\u202egnp.exe{number}\u05d0\u05d1\u05d2",
        f"{'x' * 240}{number}",
        f'meter,"{number}",7',
        "z" + "\u0321\u0336\u0489" * 30 + str(number),
        f"../%2e%2e/{number}?&#=+\\",
        f"  {number}  ",
        f"\U0001f469\u200d\U0001f469\u200d\U0001f467\ufeff{number}",
        f"İSTANBUL ß {number}",
        f"</script><b>{number}",
    )
    return forms[number // HOSTILE % len(forms)]


def names(devices: int, places: int) -> Iterator[tuple[str, str]]:
    """Device and place of each."""
    for number in range(devices):
        place = number % places
        yield (
            f"device_{number}" if number % HOSTILE else hostile(number),
            f"place {place}" if place % 10 else hostile(place * HOSTILE),
        )


class DiskSeries:
    """What a SeriesView shows, of a copy."""

    log = ("cluster", "topic")
    view_version = 1

    def __init__(self, copy: SeriesCopy) -> None:
        self.copy = copy

    def shown_offsets(self) -> list[int]:
        with self.snapshot() as series:
            return [*series.applied_offsets]

    def removed_rows(self) -> list[int]:
        return [0]

    def snapshot(self) -> AbstractContextManager[SeriesSnapshot]:
        return self.copy.snapshot()


class LargeFleet(Fleet):
    """A fleet whose series is in a copy on disk."""

    def __init__(self, view: TotalsView, copy: SeriesCopy) -> None:
        super().__init__(view)
        self._copy = copy
        self._hours: dict[bytes, bytes] = {}

    async def add_to_series(self, readings: Sequence[Reading]) -> None:
        """Write the hours that readings change: as a follower does, in a thread."""
        deltas = QuarterSums()
        ENERGY_SERIES.fold(readings, deltas)
        stored = [(key, self._hours.get(key)) for key in ENERGY_SERIES.keys(deltas)]
        rows = dict(ENERGY_SERIES.rows(stored, deltas))
        self._hours |= {key: value for key, value in rows.items() if value is not None}
        commit = Commit(0, rows, Marker(self.offset), self.offset + 1)
        await asyncio.to_thread(self._copy.write, [commit])


async def _serve(options: argparse.Namespace) -> int:
    keys = [*names(options.devices, options.places)]
    copy = SeriesCopy.open(options.directory, "page", map_bytes=MAP_BYTES)
    try:
        if not copy.positions():
            with redirect_stdout(sys.stderr):
                load(copy, options, (Marker(0), 0), keys)
        fleet = LargeFleet(await filled_view({}), copy)
        for start in range(0, len(keys), AT_ONCE):
            await fleet.add_to_totals(
                [
                    Reading(BEGAN, device, number * 7_919, place)
                    for number, (device, place) in enumerate(keys[start : start + AT_ONCE], start)
                ]
            )
        return await serve(settings_of(options.home, options.port), fleet, DiskSeries(copy))  # type: ignore[arg-type]
    finally:
        copy.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for name in ("devices", "places", "days", "every"):
        parser.add_argument(name, type=int)
    parser.add_argument("directory", type=Path)
    parser.add_argument("home", type=Path)
    parser.add_argument("port")
    parser.add_argument("events")
    sys.exit(run(_serve(parser.parse_args(namespace=argparse.Namespace(hours=24)))))
