"""Bytes for a day of a device: in the reader's copy, a worker's store, the changelog.

python -m tests.benchmarks.device_days --devices 1000 --days 31

No Kafka: an hour of all devices is a commit, of whole watt-hours, first with a reading in each
quarter of an hour, then with one an hour. Of the changelog it counts the last record of each row,
which is what compaction leaves, in batches as a worker makes them; of the store the files after
RocksDB has compacted them.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

from aiokafka.record.default_records import DefaultRecordBatchBuilder

from api.view.copy.commit import Commit
from api.view.series_copy.copy import SeriesCopy
from contract.changelog import Marker
from contract.hour_rows import HourKey, encode_key
from contract.view import Row
from stream_app.changelog.sends import BATCH_BYTES
from stream_app.settings import WorkerSettings
from stream_app.store.database import close_database, open_database
from stream_app.store.rocksdb_store import PartitionStore
from tests.benchmarks.series_copy import FIRST_DAY, MAP_BYTES
from tests.series_rows import NO_QUARTER, Hour, Quarter, encode_hour

BOUND_BYTES = 600
MOST_WATT_HOURS = 5_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--devices", type=int, default=1_000)
    parser.add_argument("--places", type=int, default=100)
    parser.add_argument("--days", type=int, default=31)
    options = parser.parse_args()
    print(f"{options.devices:,} devices, {options.days} days; bound: {BOUND_BYTES} bytes each")
    for quarters in (4, 1):
        with tempfile.TemporaryDirectory(prefix="device-days-") as directory:
            sizes = measured(Path(directory), options, quarters)
        told = ", ".join(f"{what} {size:,.0f}" for what, size in sizes.items())
        print(f"bytes for a device-day, {quarters} quarters an hour: {told}", flush=True)


def measured(directory: Path, options: argparse.Namespace, quarters: int) -> dict[str, float]:
    """Write all hours to each of them; returns bytes for a device-day."""
    copy = SeriesCopy.open(directory / "reader", "benchmark", map_bytes=MAP_BYTES)
    settings = WorkerSettings.load({})
    database = open_database(
        directory / "worker",
        block_cache_bytes=settings.block_cache_bytes,
        write_buffer_bytes=settings.write_buffer_bytes,
    )
    store = PartitionStore(database, directory / "worker")
    changelog = 0
    for hour, rows in hours(options, quarters):
        copy.write([Commit(0, dict(rows), Marker(hour), hour)])
        store.write(list(rows), hour)
        changelog += batch_bytes(rows)
    copy.close()
    database.flush()
    database.compact_range(None, None)
    close_database(database)
    sizes = {
        "reader's copy": (directory / "reader" / "copy" / "data.mdb").stat().st_blocks * 512,
        "worker's store": sum(file.stat().st_size for file in (directory / "worker").glob("*.sst")),
        "changelog": changelog,
    }
    return {what: size / options.devices / options.days for what, size in sizes.items()}


def hours(options: argparse.Namespace, quarters: int) -> Iterator[tuple[int, list[Row]]]:
    """Yield each hour and its rows, in the order of their keys."""
    chance = random.Random(1)
    devices = sorted(f"device_{number}" for number in range(options.devices))
    for hour in range(FIRST_DAY * 24, (FIRST_DAY + options.days) * 24):
        rows = []
        for number, device in enumerate(devices):
            cells = [Quarter(chance.randrange(MOST_WATT_HOURS), 1) for _ in range(quarters)]
            cells += [NO_QUARTER] * (4 - quarters)
            first, last = chance.randrange(900), 900 * (quarters - 1) + chance.randrange(900)
            value = Hour(min(first, last), last, (cells[0], cells[1], cells[2], cells[3]))
            place = f"place {number % options.places}"
            rows.append((encode_key(HourKey(device, hour, place)), encode_hour(value)))
        yield hour, rows


def batch_bytes(rows: list[Row]) -> int:
    """Return how many bytes batches of these records have."""
    total, left = 0, list(rows)
    while left:
        batch = DefaultRecordBatchBuilder(
            magic=2,
            compression_type=0,
            is_transactional=0,
            producer_id=1,
            producer_epoch=0,
            base_sequence=0,
            batch_size=BATCH_BYTES,
        )
        taken = 0
        for key, value in left:
            if batch.append(taken, 0, key, value, []) is None:
                break
            taken += 1
        left = left[taken:]
        total += len(batch.build())
    return total


if __name__ == "__main__":
    main()
