"""A worker that keeps a day of quarters: what is old is added up, through kills, in balance."""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path

import pytest

from api.view.changelog_follower import Follower
from api.view.copy.copies import Copies
from api.view.followed_view import ViewState
from api.view.series import Filter
from api.view.series_view import SeriesView
from contract.before_rows import cutoff_at, decode_before
from contract.changelog import MARKER_KEY
from contract.device_totals import DEVICE_TOTALS
from contract.energy_series import ENERGY_SERIES
from contract.hour_rows import BEFORE, HourKey, decode_key, encode_key
from contract.kafka import KafkaSettings
from contract.topics import READINGS
from contract.view_versions import ViewVersion
from kafka_io.cluster import Cluster
from kafka_io.log_reader import read_views
from operations.books.check import check_books
from operations.bootstrap import prepare
from tests.broker.own_cluster import SettingsFactory
from tests.broker.test_worker_of_two_views import PARTITIONS, Books, exactly
from tests.fault.workers import WorkerProcess
from tests.kafka import Kafka, wait_until

#: More rows of hours than some commits remove.
DEVICES, OLD_HOURS = 40, 60
NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
LONG_AGO = NOW - timedelta(days=40)

NewWorker = Callable[[int], WorkerProcess]


@pytest.fixture
def books(cluster: Cluster, own_kafka: Kafka, settings_factory: SettingsFactory) -> Books:
    prepare(cluster, settings_factory(ENERGY_SERIES="on"))
    return Books(own_kafka)


@pytest.fixture
def new_worker(books: Books, tmp_path: Path) -> Iterator[NewWorker]:
    made: list[WorkerProcess] = []

    def make(days: int) -> WorkerProcess:
        worker = WorkerProcess(
            tmp_path / "worker",
            {
                "KAFKA_BOOTSTRAP_SERVERS": books.kafka.bootstrap_servers,
                "ENERGY_HOME": str(tmp_path),
                "STREAM_APP_SESSION_TIMEOUT_SECONDS": "2",
                "STREAM_APP_TRANSACTION_TIMEOUT_SECONDS": "10",
                "ENERGY_SERIES_DAYS": str(days),
            },
        )
        made.append(worker)
        worker.start()
        wait_until(worker.is_working, "it works", 100)
        return worker

    yield make
    for worker in made:
        if worker.pid is not None:
            worker.kill()
    print(made[0].log[-4000:] if made else "")


def write(books: Books, hours: int, since: datetime) -> None:
    """Write a reading of each device in each hour."""
    producer = books.kafka.producer()
    for hour in range(hours):
        stamp = f"{since + timedelta(hours=hour):%Y-%m-%d %H:%M:%S}"
        for device in range(DEVICES):
            reading = {
                "timestamp": stamp,
                "device_id": f"device_{device}",
                "energy_consumed": str(device + hour / 8),
                "location": ("Kitchen", "")[device % 2],
            }
            value = json.dumps(reading).encode()
            producer.produce(READINGS.name, value, partition=device % PARTITIONS)
    producer.flush(30)


def rows(books: Books) -> dict[bytes, bytes]:
    """The series' rows as they are now; a device is in one partition."""
    return {
        key: value
        for last in books.rows(ENERGY_SERIES)
        for key, value in last.items()
        if not key.startswith(b"\0") and value is not None
    }


def removed(books: Books) -> int:
    markers = books.markers(ENERGY_SERIES)
    return sum(marker.rolled_up.rows for marker in markers if marker.rolled_up)


def check(books: Books) -> dict[bytes, bytes]:
    """Each reading is in its quarter, or before where that is older than the cutoff; once."""
    totals, series = books.of_log()
    assert books.totals() == totals
    now = rows(books)
    cutoffs = {marker.cutoff for marker in books.markers(ENERGY_SERIES)}
    assert len(cutoffs) == 1
    before: dict[bytes, list[Fraction | int]] = defaultdict(lambda: [Fraction(), 0])
    for (device, location, quarter), (total, count) in series.items():
        if quarter < 4 * min(cutoffs):
            cell = before[encode_key(HourKey(device, BEFORE, location))]
            cell[0] += total
            cell[1] += count
        else:
            assert encode_key(HourKey(device, quarter // 4, location)) in now
    found = {
        key: [exactly(row.total), row.readings]
        for key, value in now.items()
        if decode_key(key).hour == BEFORE and (row := decode_before(value))
    }
    assert found == before
    assert ENERGY_SERIES.readings(now.items()) == sum(count for _, count in totals.values())
    counted = [sum(m.counted for m in books.markers(v)) for v in (DEVICE_TOTALS, ENERGY_SERIES)]
    assert counted == [sum(count for _, count in totals.values())] * 2
    return now


async def totals_of_reader(
    books: Books, directory: Path, version: ViewVersion, offsets: dict[int, int]
) -> dict[str, tuple[Fraction, int]]:
    """What an API process that begins now shows of all time."""
    copy = Copies(directory, 100_000_000).series_of(version)
    assert copy is not None
    settings = KafkaSettings.model_validate(
        {"KAFKA_BOOTSTRAP_SERVERS": books.kafka.bootstrap_servers}
    )
    follower = Follower(
        lambda number, partitions: SeriesView(number, partitions, copy),
        settings.for_aiokafka(),
        version,
    )
    task = asyncio.create_task(follower.run())
    try:
        async with asyncio.timeout(30):
            await follower.view.until(ViewState.RUNNING)
            assert await follower.view.reached(offsets)
        with follower.view.snapshot() as series:
            found = series.by_device(None, Filter())
        return {each.device_id: (exactly(each.total), each.readings) for each in found}
    finally:
        task.cancel()
        await copy.close()


@pytest.mark.timeout(600)
def test_old_quarters_are_one_sum_and_the_books_balance(
    cluster: Cluster, books: Books, new_worker: NewWorker, tmp_path: Path
) -> None:
    worker = new_worker(0)
    write(books, OLD_HOURS, LONG_AGO)
    write(books, 2, NOW - timedelta(hours=2))
    books.wait_applied(DEVICE_TOTALS, ENERGY_SERIES)
    assert len(rows(books)) == DEVICES * (OLD_HOURS + 2)
    assert removed(books) == 0
    assert worker.stop() == 0
    # Killed in the middle, with its directory and without it.
    for kill in range(2):
        worker = new_worker(1)
        done = removed(books)
        wait_until(lambda done=done: removed(books) > done, "it adds up", 60)  # type: ignore[misc]
        worker.kill()
        if kill:
            worker.lose_directory()
    assert removed(books) < DEVICES * OLD_HOURS
    # Late ones come while it works on.
    worker = new_worker(1)
    write(books, 3, LONG_AGO)
    wait_until(lambda: removed(books) >= DEVICES * OLD_HOURS, "all is added up", 90)
    books.wait_applied(DEVICE_TOTALS, ENERGY_SERIES)
    time.sleep(2)  # a sweep may be one commit behind
    now = check(books)
    assert len(now) == DEVICES * 3
    assert removed(books) == DEVICES * OLD_HOURS
    # Another setting brings nothing back, and takes nothing away.
    assert worker.stop() == 0
    worker = new_worker(0)
    write(books, 2, LONG_AGO + timedelta(hours=4))
    books.wait_applied(DEVICE_TOTALS, ENERGY_SERIES)
    assert check(books).keys() == now.keys()
    cutoff = cutoff_at(time.time(), 1)
    assert {marker.cutoff for marker in books.markers(ENERGY_SERIES)} <= {cutoff, cutoff - 24}
    # Whoever checks from outside finds the same, and whoever begins to read.
    views = read_views(cluster.settings)
    assert views.live is not None
    version = views.versions[views.live]
    found = check_books(cluster, tmp_path, version)
    assert found.is_balanced
    assert found.readings == DEVICES * (OLD_HOURS + 2 + 3 + 2)
    offsets = dict(enumerate(books.applied(ENERGY_SERIES)))
    shown = asyncio.run(totals_of_reader(books, tmp_path / "view", version, offsets))
    assert shown == books.totals()
    assert worker.stop() == 0
    assert "Traceback" not in worker.log
    assert books.rows(ENERGY_SERIES)[0][MARKER_KEY]
