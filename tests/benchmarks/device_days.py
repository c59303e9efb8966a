"""Bytes for a day of a device: in the reader's copy, a worker's store, the changelog.

python -m tests.benchmarks.device_days --devices 1000 --days 31

An hour of all devices is a commit, of whole watt-hours, first with a reading in each quarter of
an hour, then with one an hour. Of the store it counts the files after RocksDB has compacted them.
Of the changelog it counts the last record of each row in batches as a worker makes and compresses
them, which is what compaction leaves; `--rows 10` has ten rows in each. No Kafka, but with
`--broker`: then each quarter is a commit of its own, a broker takes them from a worker's producer
into a topic of the benchmark's, compacts it, and its files are counted.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from aiokafka.record.default_records import DefaultRecordBatchBuilder

from api.view.copy.commit import Commit
from api.view.series_copy.copy import SeriesCopy
from contract.changelog import MARKER_KEY, Marker, encode_marker
from contract.hour_rows import HourKey, encode_key
from contract.view import Row, Update
from kafka_io.transactional_producer import fence_log
from local_stack.broker.process import LocalBroker
from stream_app.changelog.sends import BATCH_BYTES, append_rows, codec_of, new_producer
from stream_app.settings import WorkerSettings
from stream_app.store.database import close_database, open_database
from stream_app.store.rocksdb_store import PartitionStore
from tests.benchmarks.series_copy import FIRST_DAY, MAP_BYTES
from tests.kafka import Kafka
from tests.series_rows import NO_QUARTER, Hour, Quarter, encode_hour

BOUND_BYTES = 600
MOST_WATT_HOURS = 5_000
TOPIC = "device-days"
#: Compacted at once, and again.
CONFIGS = {
    "cleanup.policy": "compact",
    "segment.ms": "1000",
    "min.compaction.lag.ms": "0",
    "min.cleanable.dirty.ratio": "0.001",
    "message.timestamp.type": "LogAppendTime",
}
#: Nothing was compacted for so long: nothing will be.
QUIET_SECONDS = 40


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--devices", type=int, default=1_000)
    parser.add_argument("--places", type=int, default=100)
    parser.add_argument("--days", type=int, default=31)
    parser.add_argument("--rows", type=int, default=8_191, help="most rows of a commit")
    parser.add_argument("--broker", action="store_true", help="have Kafka compact a changelog")
    options = parser.parse_args()
    print(f"{options.devices:,} devices, {options.days} days; bound: {BOUND_BYTES} bytes each")
    for quarters in (4, 1):
        with tempfile.TemporaryDirectory(prefix="device-days-") as directory:
            if options.broker:
                sizes = {"changelog, compacted": compacted(Path(directory), options, quarters)}
            else:
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
        changelog += sum(map(batch_bytes, commits(rows, options.rows)))
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
    return parts(options, quarters, from_quarter=quarters)


def parts(
    options: argparse.Namespace, quarters: int, from_quarter: int = 1
) -> Iterator[tuple[int, list[Row]]]:
    """Yield each hour and its rows again with each quarter that is done."""
    chance = random.Random(1)
    devices = sorted(f"device_{number}" for number in range(options.devices))
    keys = [(device, f"place {number % options.places}") for number, device in enumerate(devices)]
    for hour in range(FIRST_DAY * 24, (FIRST_DAY + options.days) * 24):
        of_all = [
            (chance.randrange(900), [chance.randrange(MOST_WATT_HOURS) for _ in range(quarters)])
            for _ in devices
        ]
        for done in range(from_quarter, quarters + 1):
            rows = []
            for (device, place), (first, sums) in zip(keys, of_all, strict=True):
                cells = [Quarter(each, 1) for each in sums[:done]] + [NO_QUARTER] * (4 - done)
                last = 900 * (done - 1) + chance.randrange(900)
                value = Hour(min(first, last), last, (cells[0], cells[1], cells[2], cells[3]))
                rows.append((encode_key(HourKey(device, hour, place)), encode_hour(value)))
            yield hour, rows


def commits(rows: list[Row], most: int) -> Iterator[list[Row]]:
    """Cut rows into commits of so many; each ends with a marker, which compaction removes."""
    return (rows[at : at + most] for at in range(0, len(rows), most))


def batch_bytes(rows: list[Row]) -> int:
    """Return how many bytes the batch of a commit has that is left with these records."""
    batch = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=codec_of(len(rows) + 1),
        is_transactional=0,
        producer_id=1,
        producer_epoch=0,
        base_sequence=0,
        batch_size=BATCH_BYTES,
    )
    for number, (key, value) in enumerate(rows):
        assert batch.append(number, 0, key, value, []) is not None
    return len(batch.build())


def compacted(directory: Path, options: argparse.Namespace, quarters: int) -> float:
    """Have a worker's producer write all commits; returns what a device-day takes, compacted."""
    with LocalBroker(directory / "broker", port=0) as broker:
        kafka = Kafka(broker.bootstrap_servers)
        kafka.create_topic(TOPIC, 1, CONFIGS)
        asyncio.run(append(broker.bootstrap_servers, options, quarters))
        producer = kafka.producer()
        size, since, written = 0, time.monotonic(), log_bytes(directory)
        while time.monotonic() - since < QUIET_SECONDS:
            # A segment ends when something comes after its time.
            producer.produce(TOPIC, b"1", key=MARKER_KEY)
            producer.flush(10)
            time.sleep(2)
            if abs((now := log_bytes(directory)) - size) > 0.01 * size:
                size, since = now, time.monotonic()
        print(f"written {written / 1e6:,.1f} MB, compacted {size / 1e6:,.1f} MB", flush=True)
        return float(size / options.devices / options.days)


async def append(servers: str, options: argparse.Namespace, quarters: int) -> None:
    producer = new_producer({"bootstrap_servers": servers}, TOPIC, 60_000)
    await producer.start()
    await fence_log(producer, TOPIC, 0)
    for hour, rows in parts(options, quarters):
        for some in commits(rows, options.rows):
            updates: list[Update] = [*some, (MARKER_KEY, encode_marker(Marker(hour)))]
            await append_rows(producer, updates, TOPIC, 0, lambda: None)
    await producer.stop()


def log_bytes(directory: Path) -> int:
    return sum(file.stat().st_size for file in directory.glob(f"broker/data/{TOPIC}-*/*.log"))


if __name__ == "__main__":
    main()
