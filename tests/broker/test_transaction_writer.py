"""TransactionWriter against a real broker: fenced, aborted, or all of a transaction at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from aiokafka.errors import ProducerFenced

from contract.changelog import MARKER_KEY, Marker, encode_marker, encode_total
from contract.topics import QUARANTINE, changelog
from stream_app.errors import QuarantineRefused
from stream_app.partition import QuarantineRecord, Transaction
from stream_app.transaction import TransactionWriter
from tests.kafka import ANSWER_SECONDS, Kafka

VERSION = 1
CHANGELOG = changelog(VERSION).name
PARTITION = 1
WriterFactory = Callable[..., TransactionWriter]


@pytest.fixture
def topics(own_kafka: Kafka) -> Kafka:
    """The empty broker with a changelog and a quarantine."""
    own_kafka.create_topic(CHANGELOG, 2)
    own_kafka.create_topic(QUARANTINE.name, 2, QUARANTINE.configs)
    return own_kafka


@pytest.fixture
def writer_factory(own_kafka: Kafka) -> WriterFactory:
    def create(partition: int = PARTITION) -> TransactionWriter:
        return TransactionWriter(
            {"bootstrap_servers": own_kafka.bootstrap_servers},
            VERSION,
            partition,
            transaction_timeout_seconds=10,
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
    assert records[-1].offset() == last == 3
    bad = topics.read(QUARANTINE.name)
    assert [record.partition() for record in bad] == [PARTITION] * 2
    assert [record.headers() for record in bad] == [[("view_version", b"1")]] * 2
    topics.settle(CHANGELOG)
    topics.settle(QUARANTINE.name)
    # One control record each: both topics were in the same transaction.
    assert topics.end_offsets(CHANGELOG) == {0: 0, 1: 5}
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


async def test_x4_an_older_writer_dies_in_its_transaction(
    topics: Kafka, writer_factory: WriterFactory
) -> None:
    older, newer = writer_factory(), writer_factory()
    await older.start()
    await older.write(transaction(1))
    await newer.start()
    with pytest.raises(ProducerFenced):
        await older.write(transaction(2))
    await newer.write(transaction(3))
    await newer.stop()
    await older.stop()
    markers = [r.value() for r in topics.read(CHANGELOG) if r.key() == MARKER_KEY]
    assert markers == [encode_marker(Marker(1)), encode_marker(Marker(3))]


async def test_a_transaction_begins_before_its_records_are_known(
    topics: Kafka, writer_factory: WriterFactory
) -> None:
    writer = writer_factory()
    await writer.start()
    for applied in range(3):
        await writer.begin()  # after the first: while Kafka ends the one before
        await writer.begin()
        await writer.write(transaction(applied, devices=1))
    await writer.begin()
    await writer.abandon()
    await writer.abandon()
    await writer.write(transaction(3, devices=1))
    await writer.begin()
    await writer.write(transaction(4, devices=1, quarantined=1))
    await writer.stop()
    assert keys(topics) == [b"device_0", MARKER_KEY] * 5
    topics.settle(CHANGELOG)
    assert topics.end_offsets(CHANGELOG)[PARTITION] == 5 * 3 + 2, "two aborts, and nothing else"
    assert len(topics.read(QUARANTINE.name)) == 1


async def test_x4_an_older_writer_can_not_begin(
    topics: Kafka, writer_factory: WriterFactory
) -> None:
    older, newer = writer_factory(), writer_factory()
    await older.start()
    await newer.start()
    with pytest.raises(ProducerFenced):
        await older.begin()
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
    assert topics.end_offsets(CHANGELOG)[PARTITION] == 2, "the record and its abort"
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


async def test_x26_without_the_quarantine_topic_nothing_is_written(
    own_kafka: Kafka, writer_factory: WriterFactory
) -> None:
    own_kafka.create_topic(CHANGELOG, 2)
    writer = writer_factory()
    await writer.start()
    async with asyncio.timeout(60):
        with pytest.raises(QuarantineRefused, match=QUARANTINE.name):
            await writer.write(transaction(1, quarantined=1))
    assert keys(own_kafka) == []
    own_kafka.create_topic(QUARANTINE.name, 2, QUARANTINE.configs)
    async with asyncio.timeout(60):
        await writer.write(transaction(1, quarantined=1))
    await writer.stop()
    assert keys(own_kafka)[-1] == MARKER_KEY
    assert len(keys(own_kafka, QUARANTINE.name)) == 1


async def test_a_quarantine_record_larger_than_a_batch_of_totals_fits(
    topics: Kafka, writer_factory: WriterFactory
) -> None:
    writer = writer_factory()
    await writer.start()
    bad = [QuarantineRecord(None, b"x" * 600_000) for _ in range(4)]
    await writer.write(transaction(1)._replace(quarantined=bad))
    await writer.stop()
    assert [len(r.value() or b"") for r in topics.read(QUARANTINE.name)] == [600_000] * 4
