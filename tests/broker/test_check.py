"""`energy check` against changelogs written by hand: right ones, and wrong ones."""

from __future__ import annotations

import decimal
import json
import random
import threading
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from cli import app as cli
from contract.changelog import MARKER_KEY, Marker, encode_marker
from contract.decimals import EXACT, canonical, sum_exactly
from contract.decoding import Reading, decode_readings
from contract.device_totals import DEVICE_TOTALS, decode_total, encode_total
from contract.energy_series import ENERGY_SERIES
from contract.errors import CorruptRecord
from contract.view import View
from contract.view_versions import ViewVersion
from kafka_io.cluster_changes import ClusterAdmin
from kafka_io.log_reader import read_views
from operations.books.check import NoSeries, check_books
from operations.books.findings import Account, Apart, Books, Imbalance, Miscount
from operations.bootstrap import prepare
from tests.broker.own_cluster import SettingsFactory
from tests.kafka import Kafka, TransactionalWriter
from tests.records import reading_value

Rows = dict[bytes, bytes]


class Ledger:
    """One partition as a worker keeps it: both views, each with its own commits."""

    def __init__(self, kafka: Kafka, partition: int) -> None:
        self._kafka = kafka
        self._partition = partition
        self.rows: dict[View, Rows] = {DEVICE_TOTALS: {}, ENERGY_SERIES: {}}
        self.counted = {DEVICE_TOTALS: 0, ENERGY_SERIES: 0}

    def fold(self, view: View, readings: list[Reading]) -> Rows:
        """Fold readings into the stored rows; returns those that change."""
        deltas = view.new_deltas()
        view.fold(readings, deltas)
        stored = self.rows[view]
        changed = dict(view.rows([(key, stored.get(key)) for key in view.keys(deltas)], deltas))
        stored |= changed
        self.counted[view] += len(readings)
        return changed

    def commit(self, view: View, rows: Rows, offset: int) -> None:
        identity = view.transactional_id(1, self._partition)
        marker = encode_marker(Marker(offset, counted=self.counted[view]))
        writer = TransactionalWriter(self._kafka, view.changelog(1).name, identity)
        writer.write([*rows.items(), (MARKER_KEY, marker)], partition=self._partition)

    def count(self, readings: list[Reading], offset: int) -> None:
        for view in self.rows:
            self.commit(view, self.fold(view, readings), offset)


def readings(count: int, seed: int = 1) -> list[Reading]:
    """Of a few devices that move about, in any order of time."""
    some = random.Random(seed)
    numbers = ["0.1", "-2.25", "1e3", "12345678901234567890.123456789"]
    values = [
        json.dumps(
            {
                "device_id": f"device_{some.randrange(9)}",
                "energy_consumed": some.choice(numbers),
                "location": some.choice(["", "Kitchen", "Küche, oben"]),
                "timestamp": f"2025-04-{some.randrange(1, 29):02} {some.randrange(24):02}:"
                f"{some.randrange(60):02}:{some.randrange(60):02}",
            }
        ).encode()
        for _ in range(count)
    ]
    decoded, rejected = decode_readings(values)
    assert not rejected
    return decoded


@pytest.fixture
def ledgers(
    cluster: ClusterAdmin, own_kafka: Kafka, settings_factory: SettingsFactory
) -> list[Ledger]:
    """Both partitions of version 1, each with readings up to offset 99; they balance."""
    prepare(cluster, settings_factory(ENERGY_SERIES="on"))
    both = [Ledger(own_kafka, partition) for partition in range(2)]
    for seed, ledger in enumerate(both):
        ledger.count(readings(60, seed), 59)
        ledger.count(readings(40, seed + 10), 99)
    return both


@pytest.fixture
def check(cluster: ClusterAdmin, tmp_path: Path) -> Callable[..., Books]:
    """`check()`: what is found of version 1."""

    def run(wait_seconds: float = 10.0) -> Books:
        version = read_views(cluster.settings).versions[1]
        seen: list[tuple[int, int | None]] = []
        found = check_books(
            cluster,
            tmp_path,
            version,
            wait_seconds=wait_seconds,
            on_progress=lambda *far: seen.append(far),
        )
        assert list(tmp_path.iterdir()) == [], "the rows on disk are gone"
        assert seen == sorted(seen)
        assert seen[-1][0] <= (seen[-1][1] or 0)
        return found

    return run


def test_books_that_balance(ledgers: list[Ledger], check: Callable[..., Books]) -> None:
    parts = [decode_total(v) for each in ledgers for v in each.rows[DEVICE_TOTALS].values()]
    found = check()
    assert found.is_balanced
    assert (found.devices, found.locations, found.readings) == (9, 3, 200)
    assert found.sum == canonical(sum_exactly(total for total, _ in parts))
    assert found.applied_offsets == [99, 99]
    assert (found.differing, found.differences, found.miscounts) == (0, [], [])


def test_a_digit_that_is_off(ledgers: list[Ledger], check: Callable[..., Books]) -> None:
    key = b"device_3"
    total, count = decode_total(ledgers[1].rows[DEVICE_TOTALS][key])
    with decimal.localcontext(EXACT):
        wrong = encode_total(total + Decimal("1e-9"), count)
    ledgers[1].commit(DEVICE_TOTALS, {key: wrong}, 99)
    found = check()
    assert not found.is_balanced
    assert (found.differing, found.miscounts) == (1, [])
    [named] = found.differences
    assert (named.partition, named.device_id) == (1, "device_3")
    assert named.totals.readings == named.series.readings == count
    assert named.totals.sum != named.series.sum


def test_a_row_that_is_missing(ledgers: list[Ledger], check: Callable[..., Books]) -> None:
    """Of a device that has counted one reading only: the series does not know it."""
    alone = decode_readings([reading_value("device_alone", "5")])[0]
    ledgers[0].fold(ENERGY_SERIES, alone)
    ledgers[0].commit(DEVICE_TOTALS, ledgers[0].fold(DEVICE_TOTALS, alone), 100)
    ledgers[0].commit(ENERGY_SERIES, {}, 100)
    found = check()
    assert not found.is_balanced
    assert found.differences == [Imbalance(0, "device_alone", Account("5", 1), None)]
    assert found.miscounts == [Miscount(0, "energy_series", 101, 100)]


def test_a_reading_that_is_counted_twice(
    ledgers: list[Ledger], check: Callable[..., Books]
) -> None:
    again = readings(1, 0)
    ledgers[0].commit(ENERGY_SERIES, ledgers[0].fold(ENERGY_SERIES, again), 99)
    found = check()
    assert (found.is_balanced, found.differing) == (False, 1)
    [named] = found.differences
    assert named.device_id == again[0].device_id
    assert named.series.readings == named.totals.readings + 1
    # By both views in the same way: the sums agree, the markers have counted it once.
    changed = ledgers[0].fold(DEVICE_TOTALS, again)
    ledgers[0].counted = dict.fromkeys(ledgers[0].counted, 100)
    ledgers[0].commit(DEVICE_TOTALS, changed, 99)
    ledgers[0].commit(ENERGY_SERIES, {}, 99)
    found = check()
    assert (found.is_balanced, found.differing) == (False, 0)
    assert found.miscounts == [
        Miscount(0, view.name, 100, 101) for view in (DEVICE_TOTALS, ENERGY_SERIES)
    ]


def test_the_series_is_waited_for_and_said_to_be_behind_where_it_does_not_come(
    ledgers: list[Ledger], check: Callable[..., Books]
) -> None:
    more = readings(30, 99)
    ledger = ledgers[1]
    for begin in range(0, 30, 10):
        part = more[begin : begin + 10]
        ledger.commit(DEVICE_TOTALS, ledger.fold(DEVICE_TOTALS, part), 109 + begin)
    found = check(wait_seconds=0.3)
    assert not found.is_balanced
    assert found.not_compared == [Apart(1, 129, 99)]
    assert (found.differing, found.readings) == (0, 100), "the other partition balances"
    changed = ledger.fold(ENERGY_SERIES, more)
    late = threading.Timer(1.0, ledger.commit, (ENERGY_SERIES, changed, 129))
    late.start()
    found = check(wait_seconds=20)
    late.join()
    assert (found.is_balanced, found.readings, found.applied_offsets) == (True, 230, [99, 129])


def test_a_row_that_no_worker_can_have_written(
    ledgers: list[Ledger], check: Callable[..., Books]
) -> None:
    ledgers[0].commit(ENERGY_SERIES, {b"device_1\x000000001\0": b"1 0 0 1 05 0 0 0"}, 99)
    with pytest.raises(CorruptRecord, match=r"partition 0: no row of energy_series.*replay start"):
        check()


def test_a_version_without_the_series_is_told_how_to_get_one(
    cluster: ClusterAdmin, settings_factory: SettingsFactory, tmp_path: Path
) -> None:
    prepare(cluster, settings_factory(ENERGY_SERIES="off"))
    with pytest.raises(NoSeries, match="energy replay start --series on"):
        check_books(cluster, tmp_path, ViewVersion(1, "live", 2, "1"))


def test_the_command_ends_with_0_or_1(
    ledgers: list[Ledger], own_kafka: Kafka, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    environ = {"KAFKA_BOOTSTRAP_SERVERS": own_kafka.bootstrap_servers, "ENERGY_HOME": str(tmp_path)}

    def run(*options: str) -> tuple[int, str]:
        code = cli.run(["check", *options], environ)
        return code, capsys.readouterr().out

    code, said = run()
    assert (code, said.count("\n")) == (0, 1)
    assert said.startswith("the books of view version 1 balance: 9 devices at 3 locations, 200 rea")
    code, said = run("--json")
    found: dict[str, Any] = json.loads(said)
    assert (code, found["is_balanced"], found["readings"]) == (0, True, 200)
    ledgers[0].commit(DEVICE_TOTALS, {b"device_3": encode_total(1, 1)}, 99)
    code, said = run("--view-version", "1")
    assert code == 1
    assert "partition 0, device_3: its total is 1 of 1 reading, its locations and hours" in said
    code, said = run("--json")
    assert (code, json.loads(said)["is_balanced"]) == (1, False)
    assert run("--view-version", "7")[0] == 3
