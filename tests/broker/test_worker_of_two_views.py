"""A worker on a view version that has totals and series: killed, restarted, refused, in balance."""

from __future__ import annotations

import json
import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path

import pytest
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from contract.changelog import MARKER_KEY, Marker, decode_marker
from contract.decimals import Number
from contract.device_totals import DEVICE_TOTALS, decode_total
from contract.energy_series import ENERGY_SERIES
from contract.hour_rows import decode_key
from contract.topics import QUARANTINE, READINGS
from contract.view import View
from kafka_io.cluster import Cluster
from operations.bootstrap import prepare
from tests.broker.own_cluster import SettingsFactory
from tests.fault.workers import WorkerProcess
from tests.kafka import Kafka, wait_until
from tests.oracle import judge
from tests.series_rows import decode_hour

PARTITIONS = 2
BEGAN = datetime(2025, 4, 30, 9, 50, tzinfo=UTC)
#: Device, and where and when it is: what a sum of the series is of.
Cell = tuple[str, str, int]


def values_of(count: int, chance: random.Random) -> Iterator[bytes | None]:
    """Readings of some days in any order, of devices that move; one in ten is not valid."""
    for _ in range(count):
        if chance.random() < 0.1:
            yield chance.choice([b"", b"no reading", b'{"device_id": "device_1"}', None])
            continue
        moment = BEGAN + timedelta(seconds=chance.randrange(3 * 86_400))
        yield json.dumps(
            {
                "timestamp": moment.strftime("%Y-%m-%d %H:%M:%S"),
                "device_id": f"device_{chance.randrange(20)}",
                "energy_consumed": str(chance.randrange(-1_000, 10_000) / 8),
                "location": chance.choice(["Kitchen", "", "Büro"]),
            }
        ).encode()


def exactly(number: Number) -> Fraction:
    return Fraction(str(number))


class Books:
    """What the log says, read by the tests' own rules, and what the changelogs say."""

    def __init__(self, kafka: Kafka) -> None:
        self.kafka = kafka

    def of_log(self) -> tuple[dict[str, tuple[Fraction, int]], dict[Cell, tuple[Fraction, int]]]:
        totals: dict[str, tuple[Fraction, int]] = defaultdict(lambda: (Fraction(), 0))
        series: dict[Cell, tuple[Fraction, int]] = defaultdict(lambda: (Fraction(), 0))
        for record in self.kafka.each(READINGS.name):
            if (found := judge(record.value())) is None:
                continue
            moment = datetime.fromisoformat(found.timestamp).replace(tzinfo=UTC)
            cell = found.device_id, found.location, int(moment.timestamp()) // 900
            for sums, key in ((totals, found.device_id), (series, cell)):
                total, count = sums[key]  # type: ignore[index]
                sums[key] = total + found.energy, count + 1  # type: ignore[index]
        return dict(totals), dict(series)

    def bad(self) -> set[tuple[int, int]]:
        log = self.kafka.each(READINGS.name)
        return {(r.partition(), r.offset()) for r in log if judge(r.value()) is None}

    def quarantined(self) -> Counter[tuple[int, int]]:
        rows = [json.loads(record.value()) for record in self.kafka.each(QUARANTINE.name)]
        return Counter((row["__partition"], row["__offset"]) for row in rows)

    def rows(self, view: View) -> list[dict[bytes, bytes]]:
        """The last value of each key, by partition."""
        last: list[dict[bytes, bytes]] = [{} for _ in range(PARTITIONS)]
        for record in self.kafka.each(view.changelog(1).name):
            last[record.partition()][record.key()] = record.value()
        return last

    def markers(self, view: View) -> list[Marker]:
        return [decode_marker(rows[MARKER_KEY]) for rows in self.rows(view)]

    def totals(self) -> dict[str, tuple[Fraction, int]]:
        found: dict[str, tuple[Fraction, int]] = {}
        for rows in self.rows(DEVICE_TOTALS):
            for key, value in rows.items():
                if not key.startswith(b"\0"):
                    total, count = decode_total(value)
                    before = found.get(key.decode(), (Fraction(), 0))
                    found[key.decode()] = before[0] + exactly(total), before[1] + count
        return found

    def series(self) -> dict[Cell, tuple[Fraction, int]]:
        found: dict[Cell, tuple[Fraction, int]] = {}
        for rows in self.rows(ENERGY_SERIES):
            for key, value in rows.items():
                if key.startswith(b"\0"):
                    continue
                device_id, hour, location = decode_key(key)
                for place, (total, count) in enumerate(decode_hour(value).quarters):
                    if count:
                        cell = device_id, location, 4 * hour + place
                        before = found.get(cell, (Fraction(), 0))
                        found[cell] = before[0] + exactly(total), before[1] + count
        return found

    def applied(self, view: View) -> list[int]:
        return [marker.applied_offset for marker in self.markers(view)]

    def wait_applied(self, *views: View) -> None:
        ends = self.kafka.end_offsets(READINGS.name)
        wanted = [ends[partition] - 1 for partition in range(PARTITIONS)]
        for view in views:
            wait_until(
                lambda view=view: self.applied(view) == wanted,  # type: ignore[misc]
                f"{view.name} has applied {wanted}",
                60,
            )

    def check(self) -> None:
        """Each reading is once in both views, to the last digit; each other record quarantined."""
        totals, series = self.of_log()
        assert self.totals() == totals
        assert self.series() == series
        assert self.quarantined() == Counter(dict.fromkeys(self.bad(), 1))
        counted = sum(count for _, count in totals.values())
        for view in (DEVICE_TOTALS, ENERGY_SERIES):
            assert sum(marker.counted for marker in self.markers(view)) == counted


@pytest.fixture
def books(cluster: Cluster, own_kafka: Kafka, settings_factory: SettingsFactory) -> Books:
    """Version 1 is live, and has the series."""
    prepare(cluster, settings_factory(ENERGY_SERIES="on"))
    return Books(own_kafka)


@pytest.fixture
def worker(books: Books, tmp_path: Path) -> Iterator[WorkerProcess]:
    made = WorkerProcess(
        tmp_path / "worker",
        {
            "KAFKA_BOOTSTRAP_SERVERS": books.kafka.bootstrap_servers,
            "ENERGY_HOME": str(tmp_path),
            "STREAM_APP_SESSION_TIMEOUT_SECONDS": "2",
            "STREAM_APP_TRANSACTION_TIMEOUT_SECONDS": "10",
        },
    )
    yield made
    if made.pid is not None:
        made.kill()
    print(made.log[-4000:])


def write_slowly(books: Books, chance: random.Random, batches: int) -> None:
    """Write readings so that a worker makes many commits of them."""
    producer = books.kafka.producer()
    for _ in range(batches):
        for value in values_of(10, chance):
            producer.produce(READINGS.name, value, partition=chance.randrange(PARTITIONS))
        producer.flush(10)
        time.sleep(0.02)  # the pace is what is tested


@pytest.mark.timeout(240)
def test_both_views_balance_with_the_log_whenever_the_worker_is_killed(
    books: Books, worker: WorkerProcess
) -> None:
    chance = random.Random(7)
    worker.start()
    wait_until(worker.is_working, "it works", 40)
    for kill in range(3):
        write_slowly(books, chance, 40)
        worker.kill()
        # The one is ahead of the other now: behind the smaller marker each takes what it lacks.
        write_slowly(books, chance, 5)
        if kill == 1:
            worker.lose_directory()
        worker.start()
        wait_until(worker.is_working, "it works again", 40)
    write_slowly(books, chance, 40)
    books.wait_applied(DEVICE_TOTALS, ENERGY_SERIES)
    books.check()
    assert worker.stop() == 0
    assert "Traceback" not in worker.log


@pytest.mark.timeout(120)
def test_the_series_has_its_own_clock(books: Books, worker: WorkerProcess) -> None:
    worker.start()
    wait_until(worker.is_working, "it works", 40)
    write_slowly(books, random.Random(8), 150)
    books.wait_applied(DEVICE_TOTALS, ENERGY_SERIES)

    def commits(view: View) -> int:
        log = books.kafka.each(view.changelog(1).name)
        return sum(record.key() == MARKER_KEY for record in log)

    assert 3 * commits(ENERGY_SERIES) < commits(DEVICE_TOTALS)
    books.check()
    assert worker.stop() == 0


def shrink(kafka: Kafka, topic: str, size: str) -> None:
    """Change how large a batch a topic takes."""
    entry = ConfigEntry("max.message.bytes", size, incremental_operation=AlterConfigOpType.SET)
    wanted = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    admin = kafka.admin()
    for done in admin.incremental_alter_configs([wanted]).values():
        done.result(10)


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("refused", "other"), [(ENERGY_SERIES, DEVICE_TOTALS), (DEVICE_TOTALS, ENERGY_SERIES)]
)
def test_a_view_that_kafka_does_not_take_holds_up_no_other_and_catches_up(
    books: Books, worker: WorkerProcess, refused: View, other: View
) -> None:
    name, chance = refused.changelog(1).name, random.Random(9)
    worker.start()
    wait_until(worker.is_working, "it works", 40)
    shrink(books.kafka, name, "160")
    for _ in range(3):
        write_slowly(books, chance, 20)
        books.wait_applied(other)
    assert books.applied(refused) == [-1, -1]
    place = "partition 0" if refused is DEVICE_TOTALS else "partition 0 of energy_series"
    assert f"{place}: {name}" in worker.log
    shrink(books.kafka, name, "1048588")
    books.wait_applied(refused)
    books.check()
    assert worker.stop() == 0
    assert "Traceback" not in worker.log
