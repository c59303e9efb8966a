"""The importer against a real broker: each row once, whatever dies between any two steps."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer

from contract.import_positions import Position, import_transactional_id
from contract.topics import IMPORTS, QUARANTINE, READINGS
from local_stack.broker.process import LocalBroker
from local_stack.ports import free_port
from producer.errors import (
    BrokerUnreachable,
    ImportSuperseded,
    ProducerStopped,
    RecordsRefused,
    TopicMissing,
)
from producer.imports.importer import _START_SECONDS, Advance, Importer
from producer.imports.position_log import PositionLog
from producer.imports.transactions import STEP_SECONDS
from producer.judging import Batch
from producer.settings import ProducerSettings
from tests.kafka import Kafka, TransactionalWriter, wait_until

ROWS = 24
HALF = 12
PER_BATCH = 4


@pytest.fixture
def log(own_kafka: Kafka) -> Kafka:
    """The empty broker with the topics of an import."""
    return with_topics(own_kafka)


def with_topics(kafka: Kafka) -> Kafka:
    kafka.create_topic(READINGS.name, 2)
    kafka.create_topic(QUARANTINE.name, 2, QUARANTINE.configs)
    kafka.create_topic(IMPORTS.name, 1, IMPORTS.configs)
    return kafka


ImporterFactory = Callable[..., Importer]


@pytest.fixture
def importer_factory() -> Iterator[ImporterFactory]:
    """`importer_factory(kafka, "id", client_factory=...)`: not started; closed at the end."""
    with ExitStack() as stack:

        def create(
            kafka: Kafka, import_id: str = "a", kind: str = "load", **overrides: Any
        ) -> Importer:
            settings = ProducerSettings.load(
                {},
                bootstrap_servers=kafka.bootstrap_servers,
                delivery_timeout_seconds=overrides.pop("delivery_timeout_seconds", None),
                partitioner=overrides.pop("partitioner", None),
            )
            importer = Importer(settings, kind, import_id, **overrides)
            stack.callback(importer.close)
            return importer

        yield create


def batch(start: int, import_id: str = "a") -> Batch:
    numbers = range(start, start + PER_BATCH)
    return Batch(
        [b"device_%d" % (number % 3) for number in numbers],
        [b'{"id":"%b","row":%d}' % (import_id.encode(), number) for number in numbers],
        [b'{"id":"%b","bad":%d}' % (import_id.encode(), start)],
    )


def load(importer: Importer, until: int = ROWS) -> None:
    """Write what is missing, from where the import stands."""
    while (place := importer.position().next_position) < until:
        rows = batch(place, importer.import_id)
        importer.write(rows, place + len(rows.values), note={"line": place})


def start_and_load(importer: Importer) -> None:
    importer.start()
    load(importer)


def rows_in(kafka: Kafka, topic: str = READINGS.name) -> list[tuple[str, int]]:
    """All rows in the log by their import and number."""
    rows = [json.loads(record.value() or b"") for record in kafka.read(topic)]
    return sorted((row["id"], row.get("row", row.get("bad"))) for row in rows)


def check_each_row_once(kafka: Kafka, import_ids: Sequence[str] = ("a",)) -> None:
    for topic, step in ((READINGS.name, 1), (QUARANTINE.name, PER_BATCH)):
        expected = [(name, row) for name in import_ids for row in range(0, ROWS, step)]
        assert rows_in(kafka, topic) == sorted(expected)


class Died(BaseException):
    """A process that is killed handles nothing."""


class DyingClient:
    """A client that does what it is asked until its time has come, and then nothing any more.

    What librdkafka has taken by then may still be sent: a zombie is worse than a dead one.
    """

    def __init__(self, dies: str, at: int, after: bool, configuration: dict[str, object]) -> None:
        self._client = Producer(configuration)
        self._dies, self._at, self._after = dies, at, after

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            self._at -= name == self._dies
            is_time = name == self._dies and self._at == 0
            if is_time and not self._after:
                self._die()
            answer = getattr(self._client, name)(*arguments, **named)
            if is_time:
                self._die()
            return answer

        return call

    def _die(self) -> None:
        # From now on it aborts nothing either.
        self._client.poll(0.05)
        self._client = _Dead()  # type: ignore[assignment]
        raise Died


class _Dead:
    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *arguments, **named: None


#: Each batch has four readings, one bad row and one position.
STEPS = [
    ("init_transactions", 1),
    ("begin_transaction", 2),
    # Of the second batch: the first reading, the bad row, the position.
    ("produce", 7),
    ("produce", 11),
    ("produce", 12),
    ("commit_transaction", 1),
    ("commit_transaction", 2),
]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_x42_killed_between_any_two_steps_each_row_is_there_once(
    log: Kafka, importer_factory: ImporterFactory, after: bool
) -> None:
    found: dict[str, Position] = {}
    for step, at in STEPS:
        import_id = f"{step}-{at}"
        client_factory = partial(DyingClient, step, at, after)
        dying = importer_factory(log, import_id, client_factory=client_factory)
        with pytest.raises(Died):
            start_and_load(dying)
        survivor = importer_factory(log, import_id)
        survivor.start()
        found[import_id] = survivor.position()
        load(survivor)
        assert survivor.position().readings == ROWS
        assert survivor.position().quarantined == ROWS // PER_BATCH
        assert survivor.position().note == {"line": ROWS - PER_BATCH}
    check_each_row_once(log, list(found))
    places = {name: place.next_position // PER_BATCH for name, place in found.items()}
    done = {"begin_transaction-2": 1, "commit_transaction-2": 1 + after}
    done |= {f"produce-{number}": 1 for number in (7, 11, 12)}
    assert places == dict.fromkeys(places, 0) | done | {"commit_transaction-1": int(after)}


class ForwardingClient:
    def __init__(self, configuration: dict[str, object]) -> None:
        self._client = Producer(configuration)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


class LosingClient(ForwardingClient):
    """A client whose answers to a commit get lost, before or after Kafka has done it."""

    def __init__(self, configuration: dict[str, object], lost: set[int], is_done: bool) -> None:
        super().__init__(configuration)
        self._lost, self._is_done = lost, is_done

    def commit_transaction(self, seconds: float) -> None:
        self._lost.add(max(self._lost) + 1)
        is_lost = len(self._lost) % 2 == 0
        if not is_lost or self._is_done:
            self._client.commit_transaction(seconds)
        if is_lost:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))


@pytest.mark.parametrize("is_done", [True, False])
def test_an_answer_to_a_commit_that_is_lost_doubles_nothing(
    log: Kafka, importer_factory: ImporterFactory, is_done: bool
) -> None:
    lost = {0}
    importer = importer_factory(
        log, client_factory=lambda configuration: LosingClient(configuration, lost, is_done)
    )
    importer.start()
    load(importer)
    check_each_row_once(log)
    assert importer.position().readings == ROWS


def test_the_second_importer_of_a_name_fences_the_first(
    log: Kafka, importer_factory: ImporterFactory
) -> None:
    first, second = importer_factory(log), importer_factory(log)
    first.start()
    load(first, HALF)
    second.start()
    assert second.position() == first.position()
    load(second, HALF + PER_BATCH)
    with pytest.raises(ImportSuperseded):
        load(first)
    # And was not fenced in turn.
    load(second)
    check_each_row_once(log)


def test_fenced_by_one_that_then_died_it_goes_on(
    log: Kafka, importer_factory: ImporterFactory
) -> None:
    first, second = importer_factory(log), importer_factory(log)
    first.start()
    load(first, HALF)
    second.start()
    second.close()
    load(first)
    check_each_row_once(log)


def test_the_position_is_read_after_the_fence(
    log: Kafka, importer_factory: ImporterFactory
) -> None:
    """A position read before it could be moved by the former writer afterwards."""
    first = importer_factory(log)
    first.start()

    class SlowClient(ForwardingClient):
        def init_transactions(self, seconds: float) -> None:
            load(first, HALF)
            self._client.init_transactions(seconds)

    second = importer_factory(log, client_factory=SlowClient)
    second.start()
    assert second.position().next_position == HALF
    load(second)
    check_each_row_once(log)


def test_a_position_behind_another_imports_open_transaction_is_read(
    log: Kafka, importer_factory: ImporterFactory
) -> None:
    """read_committed ends before that transaction, and would say: not begun yet."""
    importer = importer_factory(log)
    importer.start()
    hanging = TransactionalWriter(
        log, IMPORTS.name, import_transactional_id("load", "other"), transaction_timeout_ms=60_000
    )
    hanging.begin([(b"load/other/0", b"{}")])
    load(importer, HALF)
    # It stays open for a while after the other one has begun to read.
    ending = threading.Timer(0.5, lambda: hanging.end(is_aborted=True))

    class EndingClient(ForwardingClient):
        def init_transactions(self, seconds: float) -> None:
            self._client.init_transactions(seconds)
            ending.start()

    follower = importer_factory(log, client_factory=EndingClient)
    follower.start()
    ending.join()
    assert follower.position().next_position == HALF


def test_sources_and_imports_have_positions_of_their_own(
    log: Kafka, importer_factory: ImporterFactory
) -> None:
    importer = importer_factory(log)
    importer.start()
    rows = Batch([b"a", b"b"], [b'{"row":1}', b'{"row":2}'])
    importer.write(rows, 10, source="3")
    importer.write_all(rows, {"4": Advance(7, 1), "orders/5:8": Advance(1, 1, note={"x": [1]})})
    again, other = importer_factory(log), importer_factory(log, "a2")
    again.start()
    other.start()
    assert {name: p.next_position for name, p in again.positions.items()} == {
        "3": 10,
        "4": 7,
        "orders/5:8": 1,
    }
    assert again.position("3").readings == 2
    assert again.position("orders/5:8").note == {"x": [1]}
    assert again.position("9").next_position == 0
    assert other.positions == {}


def test_importers_can_share_one_log_of_positions(
    log: Kafka, importer_factory: ImporterFactory
) -> None:
    settings = ProducerSettings.load({}, bootstrap_servers=log.bootstrap_servers)
    with PositionLog(settings, b"load/") as positions:
        for import_id in ("a", "b"):
            importer = importer_factory(log, import_id, positions=positions)
            importer.start()
            importer.write(Batch([b"a"], [b"{}"]), 5)
        again = importer_factory(log, "a", positions=positions)
        again.start()
        assert again.position().next_position == 5
        assert sorted(positions.read()) == [b"load/a/0", b"load/b/0"]


def test_without_keys_if_the_partitioner_is_none(
    log: Kafka, importer_factory: ImporterFactory
) -> None:
    importer = importer_factory(log, partitioner="none")
    importer.start()
    importer.write(batch(0), PER_BATCH)
    assert {record.key() for record in log.read(READINGS.name)} == {None}


def test_what_kafka_refuses_is_not_written_and_not_tried_again(
    log: Kafka, importer_factory: ImporterFactory
) -> None:
    importer = importer_factory(log)
    importer.start()
    with pytest.raises(RecordsRefused, match="large"):
        importer.write(Batch([b"a", b"b"], [b'{"row":1}', b"x" * 20_000_000]), 2)
    assert rows_in(log) == []
    # Nothing of it is left open, and the importer is as good as new.
    load(importer)
    check_each_row_once(log)


def test_without_broker_or_topic_it_says_so_in_time(
    own_kafka: Kafka, importer_factory: ImporterFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _START_SECONDS + STEP_SECONDS < 15
    with monkeypatch.context() as hasty:
        hasty.setattr("producer.imports.importer._START_SECONDS", 0.5)
        hasty.setattr("producer.imports.transactions.STEP_SECONDS", 0.5)
        with pytest.raises(BrokerUnreachable, match="KAFKA_BOOTSTRAP_SERVERS"):
            importer_factory(Kafka(f"127.0.0.1:{free_port()}")).start()
    with pytest.raises(TopicMissing, match="energy topics create"):
        importer_factory(own_kafka).start()


def test_an_outage_of_the_broker_neither_loses_nor_doubles(
    running_broker: LocalBroker,
    importer_factory: ImporterFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("producer.imports.transactions.STEP_SECONDS", 1.0)
    broker = running_broker
    kafka = with_topics(Kafka(broker.bootstrap_servers))
    importer = importer_factory(kafka)
    importer.start()
    load(importer, HALF)
    broker.kill()
    rest = threading.Thread(target=load, args=(importer,))
    rest.start()
    broker.start()
    broker.wait_ready(60)
    rest.join(30)
    assert not rest.is_alive()
    check_each_row_once(kafka)
    broker.kill()
    stopping = importer_factory(kafka, should_stop=lambda: True)
    with pytest.raises(ProducerStopped):
        stopping.start()
    hasty = importer_factory(kafka, "b", delivery_timeout_seconds=0.5)
    with pytest.raises(BrokerUnreachable):
        hasty.write(batch(0), PER_BATCH)


LOADER = """
import sys
from tests.broker.test_importer import batch
from producer.imports.importer import Importer
from producer.settings import ProducerSettings
settings = ProducerSettings.load({}, bootstrap_servers=sys.argv[1])
with Importer(settings, "load", "a") as importer:
    print(importer.position().next_position, flush=True)
    while True:
        place = importer.position().next_position
        importer.write(batch(place), place + 4)
"""


def test_x42_a_process_killed_at_any_moment_leaves_a_whole_number_of_batches(
    log: Kafka, importer_factory: ImporterFactory
) -> None:
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", LOADER, log.bootstrap_servers],
            stdout=subprocess.PIPE,
            text=True,
        )
        began = int(process.stdout.readline())
        wait_until(lambda n=began: len(rows_in(log)) > n + 40, "it has written")  # type: ignore[misc]
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
    survivor = importer_factory(log)
    survivor.start()
    found = rows_in(log)
    assert found == [("a", row) for row in range(survivor.position().next_position)]
