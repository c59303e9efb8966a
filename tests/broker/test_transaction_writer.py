"""TransactionWriter against a real broker: fenced, aborted, or all of a transaction at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka.errors import ProducerFenced

from contract.changelog import MARKER_KEY, Marker, encode_marker
from contract.device_totals import DEVICE_TOTALS, encode_total
from contract.topics import QUARANTINE
from kafka_io.batches.reader import read_all
from kafka_io.transactional_producer import PLAIN, ZSTD
from stream_app.changelog import fence as fence_module
from stream_app.changelog.sends import COMPRESSED_ROWS
from stream_app.changelog.single_batches import SingleBatches
from stream_app.changelog.writer import TransactionWriter
from stream_app.errors import PartitionRefusal
from stream_app.partition.pending import QuarantineRecord, Transaction
from tests.kafka import ANSWER_SECONDS, Kafka

VERSION = 1
CHANGELOG = DEVICE_TOTALS.changelog(VERSION).name
PARTITION = 1
WriterFactory = Callable[..., TransactionWriter]
#: Control records that a start leaves in the changelog.
FENCE = 2


@pytest.fixture
def topics(own_kafka: Kafka) -> Kafka:
    """The empty broker with a changelog and a quarantine."""
    own_kafka.create_topic(CHANGELOG, 2)
    own_kafka.create_topic(QUARANTINE.name, 2, QUARANTINE.configs)
    return own_kafka


class Proven(SingleBatches):
    """Proven without a probe, which leaves records of its own in the changelog."""

    def is_proven(self, leader: int | None) -> bool:
        return True


@pytest.fixture
def writer_factory(own_kafka: Kafka) -> WriterFactory:
    def create(
        partition: int = PARTITION, *, single_batches: bool = True, **options: Any
    ) -> TransactionWriter:
        return TransactionWriter(
            DEVICE_TOTALS,
            {"bootstrap_servers": own_kafka.bootstrap_servers},
            VERSION,
            partition,
            transaction_timeout_seconds=10,
            single_batches=Proven(None) if single_batches else SingleBatches(None, is_off=True),
            **options,
        )

    return create


def transaction(applied: int, devices: int = 3, quarantined: int = 0) -> Transaction:
    marker = Marker(applied)
    updates = [(b"device_%d" % number, encode_total(applied, 1)) for number in range(devices)]
    updates.append((MARKER_KEY, encode_marker(marker)))
    bad = [QuarantineRecord(None, b'{"__offset": %d}' % number) for number in range(quarantined)]
    return Transaction(updates, bad, marker)


def keys(kafka: Kafka, topic: str = CHANGELOG) -> list[bytes | None]:
    return [record.key() for record in kafka.read(topic)]


async def test_quarantine_totals_and_marker_are_one_transaction(
    topics: Kafka, writer_factory: WriterFactory
) -> None:
    writer = writer_factory()
    await writer.start()
    last = await writer.write(transaction(9, quarantined=2))
    await writer.stop()
    await writer.stop()
    records = topics.read(CHANGELOG)
    assert [r.key() for r in records] == [b"device_0", b"device_1", b"device_2", MARKER_KEY]
    assert {record.partition() for record in records} == {PARTITION}
    assert records[-1].offset() == last == FENCE + 3
    bad = topics.read(QUARANTINE.name)
    assert [record.partition() for record in bad] == [PARTITION] * 2
    assert [record.headers() for record in bad] == [[("view_version", b"1")]] * 2
    topics.settle(CHANGELOG)
    topics.settle(QUARANTINE.name)
    # One control record each: both topics were in the same transaction.
    assert topics.end_offsets(CHANGELOG) == {0: 0, 1: FENCE + 5}
    assert topics.end_offsets(QUARANTINE.name) == {0: 0, 1: 3}


async def test_a_transaction_larger_than_a_batch_has_its_marker_last(
    topics: Kafka, writer_factory: WriterFactory
) -> None:
    writer = writer_factory()
    await writer.start()
    last = await writer.write(transaction(9, devices=60_000))
    await writer.stop()
    records = topics.read(CHANGELOG)
    assert len(records) == 60_001
    assert records[-1].key() == MARKER_KEY
    assert records[-1].offset() == last


@pytest.mark.parametrize("single_batches", [True, False], ids=["one batch", "in a transaction"])
async def test_a_commit_of_many_rows_is_compressed_and_every_reader_inflates_it(
    topics: Kafka, writer_factory: WriterFactory, single_batches: bool
) -> None:
    writer = writer_factory(single_batches=single_batches)
    await writer.start()
    small, large = transaction(1, COMPRESSED_ROWS - 2), transaction(2, COMPRESSED_ROWS - 1)
    for each in (small, large):
        await writer.write(each)
    await writer.stop()
    connection = {"bootstrap_servers": topics.bootstrap_servers}
    chunks = [chunk async for chunk in read_all(connection, CHANGELOG)]
    batches: list[Any] = [batch for chunk in chunks for batch in chunk._batches]
    assert [batch.compression_type for batch in batches] == [PLAIN, ZSTD]
    written = small.updates + large.updates
    assert [(r.key, r.value) for chunk in chunks for r in chunk.records] == written
    assert [(r.key(), r.value()) for r in topics.read(CHANGELOG)] == written


@pytest.mark.parametrize("single_batches", [True, False], ids=["by the log", "in a transaction"])
async def test_x4_an_older_writer_is_refused(
    topics: Kafka, writer_factory: WriterFactory, single_batches: bool
) -> None:
    """Before the newer one has written anything, too."""
    older, newer = writer_factory(single_batches=single_batches), writer_factory()
    await older.start()
    await older.write(transaction(1))
    await newer.start()
    with pytest.raises(ProducerFenced):
        await older.write(transaction(2))
    await newer.write(transaction(3))
    await newer.stop()
    await older.stop()
    markers = [
        r.value()
        for r in topics.read(CHANGELOG, **{"isolation.level": "read_uncommitted"})
        if r.key() == MARKER_KEY
    ]
    assert markers == [encode_marker(Marker(1)), encode_marker(Marker(3))]


async def test_a_transaction_begins_before_its_records_are_known(
    topics: Kafka, writer_factory: WriterFactory
) -> None:
    writer = writer_factory(single_batches=False)
    await writer.start()
    for applied in range(3):
        await writer.begin(1)  # after the first: while Kafka ends the one before
        await writer.begin(1)
        await writer.write(transaction(applied, devices=1))
    await writer.begin(1)
    await writer.abandon()
    await writer.abandon()
    await writer.write(transaction(3, devices=1))
    await writer.begin(1)
    await writer.write(transaction(4, devices=1, quarantined=1))
    await writer.stop()
    assert keys(topics) == [b"device_0", MARKER_KEY] * 5
    topics.settle(CHANGELOG)
    end = topics.end_offsets(CHANGELOG)[PARTITION]
    assert end == FENCE + 5 * 3 + 2, "two aborts, and nothing else"
    assert len(topics.read(QUARANTINE.name)) == 1


async def test_x4_an_older_writer_can_not_begin(
    topics: Kafka, writer_factory: WriterFactory
) -> None:
    older, newer = writer_factory(single_batches=False), writer_factory()
    await older.start()
    await newer.start()
    with pytest.raises(ProducerFenced):
        await older.begin(1)
    await older.stop()
    await newer.stop()


async def test_the_next_start_aborts_what_was_left_open(
    topics: Kafka, writer_factory: WriterFactory
) -> None:
    older, newer = writer_factory(), writer_factory()
    await older.start()
    producer = older._producer
    await producer.begin_transaction()
    await (await producer.send(CHANGELOG, b"lost", b"k", partition=PARTITION))
    began = asyncio.get_running_loop().time()
    await newer.start()
    took = asyncio.get_running_loop().time() - began
    # Final when start returns: what is read now is all there will ever be.
    assert keys(topics) == []
    end = topics.end_offsets(CHANGELOG)[PARTITION]
    assert end == 2 * FENCE + 2, "the record and its abort"
    with pytest.raises(ProducerFenced):
        await producer.commit_transaction()
    await newer.stop()
    await older.stop()
    print(f"fenced an open transaction in {took * 1000:.0f} ms")
    assert took < ANSWER_SECONDS


async def test_writers_of_two_partitions_do_not_fence_each_other(
    topics: Kafka, writer_factory: WriterFactory
) -> None:
    writers = [writer_factory(partition) for partition in range(2)]
    await asyncio.gather(*(writer.start() for writer in writers))
    await asyncio.gather(*(writer.write(transaction(1)) for writer in writers))
    await asyncio.gather(*(writer.write(transaction(2)) for writer in writers))
    await asyncio.gather(*(writer.stop() for writer in writers))
    assert len(keys(topics)) == 2 * 2 * 4


@pytest.mark.parametrize("case", ["never made", "deleted", "too small", "fewer partitions"])
async def test_x26_whatever_kafka_has_against_the_quarantine_is_a_refusal_of_the_partition(
    own_kafka: Kafka, writer_factory: WriterFactory, case: str
) -> None:
    own_kafka.create_topic(CHANGELOG, 2)
    if case == "too small":
        own_kafka.create_topic(QUARANTINE.name, 2, {"max.message.bytes": "100"})
    elif case == "fewer partitions":
        own_kafka.create_topic(QUARANTINE.name, 1)
    elif case == "deleted":
        own_kafka.create_topic(QUARANTINE.name, 2)
    writer = writer_factory(patience_seconds=2)
    await writer.start()
    if case == "deleted":
        await writer.write(transaction(0, quarantined=1))
        own_kafka.delete_topic(QUARANTINE.name)
    with pytest.raises(PartitionRefusal, match=f"partition {PARTITION}: {QUARANTINE.name}"):
        await writer.write(transaction(1, quarantined=5))
    await writer.drop()
    # As a retake does: the next writer ends what was left open.
    another = writer_factory()
    await another.start()
    assert keys(own_kafka).count(MARKER_KEY) == (case == "deleted")
    await another.stop()


@pytest.mark.parametrize("single_batches", [True, False])
async def test_x54_a_commit_larger_than_the_changelog_takes_is_a_refusal_of_the_partition(
    own_kafka: Kafka, writer_factory: WriterFactory, single_batches: bool
) -> None:
    own_kafka.create_topic(CHANGELOG, 2, {"max.message.bytes": "1000"})
    writer = writer_factory(single_batches=single_batches)
    await writer.start()
    await writer.write(transaction(0))
    with pytest.raises(PartitionRefusal, match=r"max\.message\.bytes=1048588"):
        await writer.write(transaction(1, devices=1_000))
    await writer.drop()
    assert keys(own_kafka).count(MARKER_KEY) == 1


async def test_a_quarantine_record_larger_than_a_batch_of_totals_fits(
    topics: Kafka, writer_factory: WriterFactory
) -> None:
    writer = writer_factory()
    await writer.start()
    bad = [QuarantineRecord(None, b"x" * 600_000) for _ in range(4)]
    await writer.write(transaction(1)._replace(quarantined=bad))
    await writer.stop()
    assert [len(r.value() or b"") for r in topics.read(QUARANTINE.name)] == [600_000] * 4


async def test_totals_that_fit_are_one_batch_outside_of_transactions(
    topics: Kafka, writer_factory: WriterFactory
) -> None:
    writer = writer_factory()
    await writer.start()
    begins_at = topics.end_offsets(CHANGELOG)[PARTITION]
    for applied in range(3):
        await writer.begin(3)
        last = await writer.write(transaction(applied))
        assert last == begins_at + 4 * (applied + 1) - 1, "no control record between"
    await writer.write(transaction(3, quarantined=1))
    await writer.begin(3)
    last = await writer.write(transaction(4))
    await writer.stop()
    records = topics.read(CHANGELOG)
    assert [record.key() for record in records[3::4]] == [MARKER_KEY] * 5
    assert records[-1].offset() == last


@pytest.mark.parametrize(
    ("module", "constant", "value", "empty"),
    [
        (fence_module, "CONFIRM_SECONDS", 0.0, 1),
        (fence_module, "ONE_BATCH_ROWS", 2, 1),
        # Not known before the totals are: begun as a batch, written as a transaction.
        (fence_module, "BATCH_BYTES", 200, 2),
    ],
    ids=["confirms", "many", "large"],
)
async def test_what_does_not_fit_or_is_to_be_confirmed_is_a_transaction(
    topics: Kafka,
    writer_factory: WriterFactory,
    monkeypatch: pytest.MonkeyPatch,
    module: Any,
    constant: str,
    value: float,
    empty: int,
) -> None:
    writer, devices = writer_factory(), 3
    await writer.start()
    await writer.write(transaction(1, devices))
    monkeypatch.setattr(module, constant, value)
    for applied in range(2, 4):
        await writer.begin(devices)
        await writer.write(transaction(applied, devices))
    monkeypatch.undo()
    await writer.begin(devices)
    await writer.write(transaction(4, devices))
    await writer.stop()
    assert keys(topics)[devices :: devices + 1] == [MARKER_KEY] * 4
    topics.settle(CHANGELOG)
    end = topics.end_offsets(CHANGELOG)[PARTITION]
    # An empty transaction makes certain that the one before has ended, where a batch is next.
    assert end == FENCE + 4 * (devices + 1) + 2 + empty


async def test_x50_where_kafka_forgets_producers_each_commit_is_a_transaction(
    topics: Kafka, writer_factory: WriterFactory
) -> None:
    writer = writer_factory(single_batches=False)
    await writer.start()
    for applied in range(3):
        await writer.write(transaction(applied))
    await writer.stop()
    topics.settle(CHANGELOG)
    assert topics.end_offsets(CHANGELOG)[PARTITION] == FENCE + 3 * (4 + 1)
