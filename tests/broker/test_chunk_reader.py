"""ChunkReader and ChunkFetcher against a real broker: what comes out is what a client wrote."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from kafka_io.batches.chunk import Record, RecordChunk
from kafka_io.batches.reader import ChunkReader, read_all
from tests.kafka import ANSWER_SECONDS, Kafka, TransactionalWriter

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
TopicFactory = Callable[..., str]


async def chunks_of(kafka: Kafka, topic: str) -> list[RecordChunk]:
    return [chunk async for chunk in read_all(kafka.connection, topic)]


async def records_of(kafka: Kafka, topic: str) -> list[Record]:
    return [record for chunk in await chunks_of(kafka, topic) for record in chunk.records]


async def read_from(
    kafka: Kafka, topic: str, start: int, *, partition: int = 0, **options: Any
) -> list[RecordChunk]:
    async with ChunkReader(kafka.connection, topic, **options) as reader:
        ends = await reader.end_offsets([partition])
        reader.assign({partition: start})
        return [chunk async for chunk in reader.read_until(ends)]


def transact(
    kafka: Kafka, topic: str, name: str, values: list[bytes], *, commit: bool, **settings: Any
) -> None:
    writer = TransactionalWriter(kafka, topic, f"{topic}-{name}", **settings)
    writer.write([(None, value) for value in values], is_aborted=not commit)
    kafka.settle(topic)


def assert_chained(chunks: list[RecordChunk], start: int, end: int) -> None:
    """Chunks cover all offsets from start to end, each once, whatever stands there."""
    assert chunks[0].start_offset == start
    assert chunks[-1].next_offset == end
    for one, following in itertools.pairwise(chunks):
        assert one.next_offset == following.start_offset


async def test_all_codecs_mixed_come_out_as_written(
    kafka: Kafka, topic_factory: TopicFactory
) -> None:
    topic = topic_factory()
    written = []
    for number, codec in enumerate(CODECS * 4):
        values = [b"%s-%d-%d" % (codec.encode(), number, place) for place in range(50)]
        kafka.write(topic, values, compression_type=codec)
        written += values
    records = await records_of(kafka, topic)
    assert [record.value for record in records] == written
    assert [record.offset for record in records] == list(range(len(written)))


@pytest.mark.parametrize("codec", CODECS)
async def test_x49_aborted_transactions_are_skipped_exactly(
    kafka: Kafka, topic_factory: TopicFactory, codec: str
) -> None:
    topic = topic_factory()
    kept: list[bytes] = []
    for number in range(8):
        values = [b"%d-%d" % (number, place) for place in range(10)]
        commit = number % 3 != 1
        transact(kafka, topic, str(number % 2), values, commit=commit, compression_type=codec)
        plain = [b"plain-%d" % number]
        kafka.write(topic, plain, compression_type=codec)
        kept += (values if commit else []) + plain
    chunks = await chunks_of(kafka, topic)
    assert [record.value for chunk in chunks for record in chunk.records] == kept
    assert_chained(chunks, 0, kafka.end_offsets(topic)[0])
    uncommitted = await read_from(kafka, topic, 0, read_committed=False)
    assert sum(len(chunk.records) for chunk in uncommitted) == 8 * 11


async def test_interleaved_transactions_are_told_apart(
    kafka: Kafka, topic_factory: TopicFactory
) -> None:
    topic = topic_factory()
    kept, dropped = (TransactionalWriter(kafka, topic) for _ in range(2))
    kept.begin([])
    dropped.begin([])
    for place in range(20):
        kept.add([(None, b"kept-%d" % place)])
        dropped.add([(None, b"dropped-%d" % place)])
    dropped.end(is_aborted=True)
    kept.end()
    kafka.settle(topic)
    values = [record.value for record in await records_of(kafka, topic)]
    assert values == [b"kept-%d" % place for place in range(20)]


async def test_an_open_transaction_is_the_end_for_now(
    kafka: Kafka, topic_factory: TopicFactory
) -> None:
    topic = topic_factory()
    kafka.write(topic, [b"before"])
    writer = TransactionalWriter(kafka, topic)
    writer.begin([(None, b"open")])
    kafka.write(topic, [b"behind"])
    assert [r.value for r in await records_of(kafka, topic)] == [b"before"]
    writer.end()
    kafka.settle(topic)
    assert [r.value for r in await records_of(kafka, topic)] == [b"before", b"open", b"behind"]


async def test_a_read_ends_by_position_where_the_last_offset_is_a_marker(
    kafka: Kafka, topic_factory: TopicFactory
) -> None:
    topic = topic_factory()
    transact(kafka, topic, "a", [b"1", b"2"], commit=True)
    transact(kafka, topic, "a", [b"3"], commit=False)
    assert kafka.end_offsets(topic)[0] == 5  # 1 2 marker 3 marker
    chunks = await chunks_of(kafka, topic)
    assert [record.value for chunk in chunks for record in chunk.records] == [b"1", b"2"]
    assert_chained(chunks, 0, 5)


async def test_a_partition_of_markers_alone_gives_chunks_without_records(
    kafka: Kafka, topic_factory: TopicFactory
) -> None:
    topic = topic_factory()
    transact(kafka, topic, "a", [b"1"], commit=False)
    chunks = await chunks_of(kafka, topic)
    assert [chunk.records for chunk in chunks] == [[]] * len(chunks)
    assert_chained(chunks, 0, 2)


@pytest.mark.parametrize("codec", ["none", "zstd"])
async def test_a_start_in_the_middle_of_a_batch_is_exact(
    kafka: Kafka, topic_factory: TopicFactory, codec: str
) -> None:
    topic = topic_factory()
    values = [b"%d" % number for number in range(1_000)]
    kafka.write(topic, values, compression_type=codec, linger_ms=500)
    for start in (1, 17, 500, 999):
        chunks = await read_from(kafka, topic, start)
        assert_chained(chunks, start, 1_000)
        assert [record.value for chunk in chunks for record in chunk.records] == values[start:]
        again = await read_from(kafka, topic, start)
        assert [r.value for c in again for some in c.slices() for r in some] == values[start:]


async def test_small_fetches_chain_without_a_gap(kafka: Kafka, topic_factory: TopicFactory) -> None:
    topic = topic_factory()
    values = [b"%d" % number * 100 for number in range(2_000)]
    kafka.write(topic, values, batch_size=2_000)
    chunks = await read_from(kafka, topic, 0, fetch_bytes=10_000)
    assert len(chunks) > 10
    assert_chained(chunks, 0, 2_000)
    assert [record.value for chunk in chunks for record in chunk.records] == values


async def test_null_keys_null_values_and_headers_come_through(
    kafka: Kafka, topic_factory: TopicFactory
) -> None:
    topic = topic_factory()
    producer = kafka.producer()
    producer.produce(topic, None, None, partition=0)
    producer.produce(topic, b"", b"", partition=0)
    producer.produce(topic, b"v", b"k", partition=0, headers=[("a", b"1"), ("a", None)])
    producer.flush(ANSWER_SECONDS)
    found = [(r.key, r.value, list(r.headers)) for r in await records_of(kafka, topic)]
    assert found == [(None, None, []), (b"", b"", []), (b"k", b"v", [("a", b"1"), ("a", None)])]


async def test_a_compacted_topic_is_read_to_its_end(
    kafka: Kafka, topic_factory: TopicFactory
) -> None:
    configs = {
        "cleanup.policy": "compact",
        "segment.ms": "100",
        "min.cleanable.dirty.ratio": "0.01",
        "max.compaction.lag.ms": "100",
    }
    topic = topic_factory(configs=configs)
    for generation in range(30):
        writer = TransactionalWriter(kafka, topic, f"{topic}-writer")
        writer.write([(b"%d" % key, b"%d" % generation) for key in range(5)])
    kafka.settle(topic)
    chunks = await chunks_of(kafka, topic)
    assert_chained(chunks, 0, kafka.end_offsets(topic)[0])
    last = {record.key: record.value for chunk in chunks for record in chunk.records}
    assert last == {b"%d" % key: b"29" for key in range(5)}


async def test_all_partitions_are_read_and_an_absent_topic_is_empty(
    kafka: Kafka, topic_factory: TopicFactory, unique_name: str
) -> None:
    topic = topic_factory(partitions=3)
    for partition in range(2):  # and one stays empty
        kafka.write(topic, [b"%d" % partition] * 5, partition=partition)
    found = sorted((c.partition, len(c.records)) for c in await chunks_of(kafka, topic))
    assert found == [(0, 5), (1, 5)]
    async with ChunkReader(kafka.connection, topic) as reader:
        assert await reader.partitions() == [0, 1, 2]
    async with ChunkReader(kafka.connection, f"{unique_name}-absent") as reader:
        assert await reader.partitions() == []
