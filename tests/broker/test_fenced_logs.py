"""C1-C4: what a real log does with a writer that lost its partition, and who notices."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka.errors import KafkaError, OutOfOrderSequenceNumber, ProducerFenced

from contract.changelog import (
    BIRTH_KEY,
    MARKER_KEY,
    PROBE_KEY,
    Birth,
    Marker,
    encode_birth,
    encode_marker,
)
from contract.device_totals import DEVICE_TOTALS, encode_total
from contract.errors import DoesNotFollow
from contract.views import rules_with
from kafka_io.batches.reader import ChunkReader
from stream_app.changelog import claims
from stream_app.changelog import fence as fence_module
from stream_app.changelog.probe import probe_log
from stream_app.changelog.recovery import ChangelogRecovery, Recovered
from stream_app.changelog.single_batches import SingleBatches
from stream_app.changelog.writer import TransactionWriter
from stream_app.errors import RestartNeeded
from stream_app.partition.pending import Transaction
from stream_app.store.database import close_database, open_database
from stream_app.store.rocksdb_store import PartitionStore
from tests.kafka import Kafka, wait_until
from tests.records import none_replaced
from tests.shared_broker import QUICK_PROPERTIES, start_broker
from tests.totals_double import FedView

VERSION = 1
CHANGELOG = DEVICE_TOTALS.changelog(VERSION).name
BIRTH = Birth("cluster", "readings", "id-1", "id-2", 0, rules_with("off"))
STAMPED = {"message.timestamp.type": "LogAppendTime"}
FORGETS_MS = 1_000
#: Logs forget producers, and the coordinator ids, within a second or two of idleness.
FORGETFUL = QUICK_PROPERTIES | {
    "producer.id.expiration.ms": str(FORGETS_MS),
    "producer.id.expiration.check.interval.ms": "100",
    "transactional.id.expiration.ms": str(3 * FORGETS_MS),
    "transaction.remove.expired.transaction.cleanup.interval.ms": "100",
}


@pytest.fixture
def changelog_topic(own_kafka: Kafka) -> Kafka:
    own_kafka.create_topic(CHANGELOG, 1, STAMPED)
    return own_kafka


def writer_of(kafka: Kafka, single: SingleBatches) -> TransactionWriter:
    return TransactionWriter(
        DEVICE_TOTALS,
        kafka.connection,
        VERSION,
        0,
        transaction_timeout_seconds=10,
        single_batches=single,
    )


def open_at(path: Path) -> Any:
    return open_database(path, block_cache_bytes=1 << 20, write_buffer_bytes=1 << 20)


def recovery_of(kafka: Kafka, open_store: Any) -> ChangelogRecovery:
    return ChangelogRecovery(DEVICE_TOTALS, kafka.connection, CHANGELOG, open_store, none_replaced)


def commit(writer: TransactionWriter, previous: int, applied: int) -> Transaction:
    """What a partition's fold makes, of one device."""
    marker = Marker(applied, counted=applied + 1, previous=previous, writer=writer.identity)
    updates = [(b"a", encode_total(applied, applied + 1)), (MARKER_KEY, encode_marker(marker))]
    return Transaction(updates, [], marker)


async def started(kafka: Kafka, single: SingleBatches) -> TransactionWriter:
    """A writer that has taken the partition over."""
    writer = writer_of(kafka, single)
    await writer.start()
    async with ChunkReader(kafka.connection, DEVICE_TOTALS.changelog(VERSION).name) as reader:
        writer.fence.continues_at((await reader.end_offsets([0]))[0], writer.identity)
    return writer


async def refused_by_a_reader(kafka: Kafka) -> str:
    """What the API's view says of the changelog; empty where it follows it to its end."""
    view = FedView(1, 1)
    async with ChunkReader(kafka.connection, DEVICE_TOTALS.changelog(VERSION).name) as reader:
        ends = await reader.end_offsets([0])
        reader.assign({0: 0})
        try:
            async for chunk in reader.read_until(ends):
                await view.apply(chunk)
        except DoesNotFollow as error:
            return str(error)
    return ""


async def test_c1_a_log_of_apache_kafka_proves_itself(changelog_topic: Kafka) -> None:
    single = SingleBatches(None)
    older = await started(changelog_topic, single)
    assert str(single) == "used"
    for applied in range(3):
        await older.write(commit(older, applied - 1, applied))
    newer = await started(changelog_topic, single)
    with pytest.raises(ProducerFenced):
        await older.write(commit(older, 2, 3))
    await newer.write(commit(newer, 2, 5))
    await newer.write(commit(newer, 5, 6))
    await older.stop()
    await newer.stop()
    probes = [r for r in changelog_topic.read(CHANGELOG) if r.key() == PROBE_KEY]
    assert 2 <= len(probes) <= 4, "by the first of a process alone"
    assert await refused_by_a_reader(changelog_topic) == ""


async def test_c1_a_log_that_takes_an_older_writer_is_found_out(
    changelog_topic: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a service whose logs do not judge epochs: the older one is let in."""

    async def fences_nothing(*_: Any) -> None:
        pass

    monkeypatch.setattr("stream_app.changelog.probe.fence_log", fences_nothing)
    single = SingleBatches(None)
    writer = await started(changelog_topic, single)
    assert "its log takes the batches of a fenced writer" in str(single)
    last = await writer.write(commit(writer, -1, 0))
    await writer.stop()
    changelog_topic.settle(CHANGELOG)
    assert changelog_topic.end_offsets(CHANGELOG)[0] == last + 2, "a transaction"


async def test_c1_two_that_probe_one_log_at_once_prove_nothing_wrong(
    changelog_topic: Kafka,
) -> None:
    """Whoever is fenced by the other's probe stays with transactions, and nothing is lost."""
    await probe_log(DEVICE_TOTALS, changelog_topic.connection, 1, 0)
    await probe_log(DEVICE_TOTALS, changelog_topic.connection, 1, 0)
    assert DEVICE_TOTALS.probe_transactional_id(1, 0).startswith("energy-v1-")
    assert DEVICE_TOTALS.probe_transactional_id(1, 0) != DEVICE_TOTALS.transactional_id(1, 0)


async def test_c4_a_foreign_append_ends_the_writer(changelog_topic: Kafka) -> None:
    for is_off in (True, False):
        writer = await started(changelog_topic, SingleBatches(None, is_off=is_off))
        await writer.write(commit(writer, 9, 10))
        producer = changelog_topic.producer()
        producer.produce(CHANGELOG, b"1 1 1", b"foreign", 0)
        producer.produce(CHANGELOG, b"1 1 1", b"foreign", 0)
        producer.flush()
        with pytest.raises(RestartNeeded, match="somebody else has written"):
            await writer.write(commit(writer, 10, 11))
        await writer.stop()


@pytest.mark.parametrize("is_off", [True, False])
async def test_f4_a_control_record_that_came_twice_ends_nobody(
    changelog_topic: Kafka, is_off: bool
) -> None:
    """A coordinator that got no answer sends its marker again; another producer's is foreign."""
    writer = await started(changelog_topic, SingleBatches(None, is_off=is_off))
    last = -1
    for applied in range(1, 5):
        last = await writer.write(commit(writer, applied - 1, applied))
        for _ in range(applied):
            write_abort_marker(changelog_topic, writer.identity)
    assert last > 4 + 1 + 2 + 3
    other = writer.identity[0] + 1_000, 0
    for _ in range(2):
        write_abort_marker(changelog_topic, other)
    with pytest.raises(RestartNeeded, match="somebody else has written"):
        await writer.write(commit(writer, 4, 5))
    await writer.stop()


def write_abort_marker(kafka: Kafka, producer: tuple[int, int]) -> None:
    """WriteTxnMarkers, as a coordinator sends it to the changelog's leader, by hand."""
    name = CHANGELOG.encode()
    marker = struct.pack(">qhb", *producer, 0) + b"\2" + bytes([len(name) + 1]) + name
    marker += b"\2" + struct.pack(">i", 0) + b"\0" + struct.pack(">i", 0) + b"\0"
    before = kafka.end_offsets(CHANGELOG)[0]
    ask(kafka, struct.pack(">hhih", 27, 1, 1, -1) + b"\0\2" + marker + b"\0")
    wait_until(lambda: kafka.end_offsets(CHANGELOG)[0] > before, "the marker is written")


def ask(kafka: Kafka, request: bytes) -> bytes:
    """Send one request to the broker; returns the answer's bytes."""
    host, _, port = kafka.bootstrap_servers.rpartition(":")
    with socket.create_connection((host, int(port)), 10) as connected:
        connected.sendall(struct.pack(">i", len(request)) + request)
        answer = connected.makefile("rb")
        (size,) = struct.unpack(">i", answer.read(4))
        return answer.read(size)


async def test_c9_a_store_may_hold_a_commit_whose_end_is_not_in_the_log_yet(
    changelog_topic: Kafka, tmp_path: Path
) -> None:
    """A commit is answered before its control record is written; the next fence waits for it."""
    producer = changelog_topic.producer()
    producer.produce(CHANGELOG, encode_birth(BIRTH), BIRTH_KEY, 0)
    producer.produce(CHANGELOG, encode_marker(Marker(-1)), MARKER_KEY, 0)
    producer.flush()
    store = PartitionStore(open_at(tmp_path / "store"), tmp_path / "store")
    opened: list[bool] = []

    def open_store(_: int, fresh: bool) -> PartitionStore:
        opened.append(fresh)
        return store

    owned = claims.Claims(
        lambda _: writer_of(changelog_topic, SingleBatches(None, is_off=True)),
        recovery_of(changelog_topic, open_store),
    )
    for applied in range(5):
        await owned.fence([0])
        assert isinstance((await owned.recover([0]))[0], Recovered)
        made = commit(owned.writers[0], applied - 1, applied)
        store.write(made.updates, await owned.writers[0].write(made))
        await owned.give_up([0])
    close_database(store._database)
    assert opened == [False] * 5


class Trusted(SingleBatches):
    """As if a log that forgets were trusted: the net below must hold alone."""

    def is_proven(self, leader: int | None) -> bool:
        return True


@pytest.fixture(scope="module")
def forgetful(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    broker = start_broker(tmp_path_factory.mktemp("forgetful"), FORGETFUL)
    try:
        yield Kafka(broker.bootstrap_servers)
    finally:
        broker.kill()


@pytest.fixture
def round_number() -> int:
    """Once here; again and again in tests/long/test_former_owners.py."""
    return 0


@pytest.mark.parametrize("is_off", [True, False])
@pytest.mark.parametrize("forgotten_by", ["the log", "the coordinator"])
async def test_x51_x52_a_former_owners_batch_that_a_log_takes_is_believed_by_nobody(
    forgetful: Kafka,
    monkeypatch: pytest.MonkeyPatch,
    forgotten_by: str,
    is_off: bool,
    round_number: int,
) -> None:
    """Under way for longer than the log remembers it as fenced, or of an id that was replaced."""
    view_version = 4 * round_number + 2 * is_off + (1 if forgotten_by == "the log" else 2)
    monkeypatch.setattr(f"{__name__}.VERSION", view_version)
    forgetful.create_topic(DEVICE_TOTALS.changelog(view_version).name, 1, STAMPED)
    single = SingleBatches(None, is_off=True) if is_off else Trusted(None)
    older = await started(forgetful, single)
    await older.write(commit(older, -1, 0))
    if forgotten_by == "the coordinator":
        wait_until(lambda: not knows_ids(forgetful), "the coordinator has forgotten", 20)
    newer = await started(forgetful, single)
    await newer.write(commit(newer, 0, 5))
    assert newer.fence.is_open_to(older.identity) or forgotten_by == "the log"
    older.fence.allows_single_batch(0)
    monkeypatch.setattr(fence_module, "AGE_SECONDS", 0.0)
    with pytest.raises(RestartNeeded, match="another worker may have the partition"):
        older.fence.check_age()
    # Without that bound, which a moment's pause between look and send can defeat:
    monkeypatch.setattr(fence_module, "AGE_SECONDS", 60.0)
    monkeypatch.setattr(fence_module, "CONFIRM_SECONDS", 60.0)
    if forgotten_by == "the log":
        wait_until(lambda: not knows_producers(forgetful), "the log has forgotten", 20)
    if is_off:
        # A transaction: its coordinator knows another owner, and nothing of it is ever read.
        with pytest.raises((KafkaError, RestartNeeded)):
            await older.write(commit(older, 0, 1))
        assert await refused_by_a_reader(forgetful) == ""
    else:
        with pytest.raises(RestartNeeded, match="somebody else has written"):
            await older.write(commit(older, 0, 1))
        assert "goes back from applied offset 5 to 1" in await refused_by_a_reader(forgetful)
        # A log that knows the id from the former one alone expects an epoch's first sequence.
        with pytest.raises((RestartNeeded, OutOfOrderSequenceNumber)):
            await newer.write(commit(newer, 5, 6))
    await older.stop()
    await newer.stop()


def knows_ids(kafka: Kafka) -> bool:
    """Whether the coordinator knows the partition's transactional id: the last word on it."""
    last = {record.key(): record.value() for record in kafka.each("__transaction_state")}
    name = DEVICE_TOTALS.transactional_id(VERSION, 0).encode()
    return any(value is not None and name in (key or b"") for key, value in last.items())


def knows_producers(kafka: Kafka) -> bool:
    """Whether the changelog's log knows of any producer: DescribeProducers, by hand."""
    name = DEVICE_TOTALS.changelog(VERSION).name.encode()
    request = struct.pack(">hhih", 61, 0, 1, -1) + b"\0"
    request += b"\2" + bytes([len(name) + 1]) + name + b"\2" + struct.pack(">i", 0) + b"\0\0"
    body = ask(kafka, request)
    # Correlation id, tags, throttle time, one topic, its name, one partition, its number.
    at = 4 + 1 + 4 + 1 + 1 + len(name) + 1 + 4
    (error,) = struct.unpack_from(">h", body, at)
    assert error == 0, body
    # No error message; then the producers, their number plus one.
    return body[at + 3] > 1


async def test_f5_a_partition_under_another_id_is_signed_and_goes_on(
    changelog_topic: Kafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waited for once: the marker names the new owner, whose commits stand where they must."""
    producer = changelog_topic.producer()
    former = Marker(9, writer=(99_999, 2))
    producer.produce(CHANGELOG, encode_birth(BIRTH), BIRTH_KEY, 0)
    producer.produce(CHANGELOG, encode_marker(former), MARKER_KEY, 0)
    producer.flush()
    monkeypatch.setattr(claims, "SETTLED_SECONDS", 0.0)
    path, single = tmp_path / "store", SingleBatches(None)
    store = PartitionStore(open_at(path), path)
    owned = claims.Claims(
        lambda _: writer_of(changelog_topic, single),
        recovery_of(changelog_topic, lambda *_: store),
    )
    await owned.fence([0])
    assert isinstance((await owned.recover([0]))[0], Recovered)
    writer = owned.writers[0]
    assert store.marker() == former.signed_by(writer.identity)
    assert not writer.fence.is_open_to(writer.identity)
    for applied in (10, 11):
        await writer.write(commit(writer, applied - 1, applied))
    await owned.give_up([0])
    close_database(store._database)
    assert await refused_by_a_reader(changelog_topic) == ""
