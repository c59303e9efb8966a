"""Reads partitions of a topic from given offsets to their end, committed records only.

Reads: Kafka, without a group. Writes: nothing. Guarantees: "end" is the broker's word (its end
of partition event), because the last offset of a transaction is a control record that no
consumer is ever given. Records of open and aborted transactions are not seen.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, TopicPartition

from contract.kafka import KafkaSettings
from contract.prefix import prefixed
from contract.topics import VIEWS
from contract.view_versions import Views
from kafka_io.errors import NotReadable
from kafka_io.polling import consumer_of, is_end, poll
from kafka_io.rights import read, refusal

_FROM_THE_START = {0: OFFSET_BEGINNING}
_POLL_SECONDS = 0.5


class Record(NamedTuple):
    """One record as it stands in the log."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp_ms: int
    headers: Sequence[tuple[str, bytes | None]]


@contextmanager
def reader(settings: KafkaSettings, where_removed: str = "earliest") -> Iterator[Consumer]:
    """A consumer that reads committed records and reports the end of each partition.

    `where_removed`: what it does where its offset is not in the log; `error`: it raises.
    """
    more = {"enable.partition.eof": True, "auto.offset.reset": where_removed}
    consumer = consumer_of(settings, prefixed("energy-reader"), more)
    try:
        yield consumer
    finally:
        consumer.close()


def read_to_end(
    consumer: Consumer, topic: str, starts: Mapping[int, int], timeout_seconds: float = 10.0
) -> Iterator[Record]:
    """Yield the records of partitions from their start offsets on, each in its log's order.

    Shape: `starts` is partition -> first offset; an offset that is gone means the first there
    is. `timeout_seconds` bounds each silence, not the whole.
    Raises: NotReadable.
    """
    waiting = set(starts)
    consumer.assign([TopicPartition(topic, p, offset) for p, offset in starts.items()])
    deadline = time.monotonic() + timeout_seconds
    while waiting:
        for message in messages(consumer, topic, _POLL_SECONDS):
            partition, offset = message.partition(), message.offset()
            assert partition is not None
            assert offset is not None
            if is_end(message):
                waiting.discard(partition)
            else:
                yield _record(partition, offset, message)
            deadline = time.monotonic() + timeout_seconds
        if time.monotonic() > deadline:
            raise silent(topic, sorted(waiting)[0], timeout_seconds)


def messages(consumer: Consumer, topic: str, seconds: float) -> list[Message]:
    """Take what comes within some seconds: records and ends of partitions.

    Raises: NotAllowed; NotReadable, with Kafka's words, where nothing would ever come.
    """
    try:
        return poll(consumer, seconds)
    except KafkaException as error:
        if (missing := refusal(error, [read(topic)])) is not None:
            raise missing from error
        raise NotReadable(f"{topic} cannot be read: {error.args[0].str()}") from error


def silent(topic: str, partition: int, seconds: float) -> NotReadable:
    """Say that a partition could not be read to its end."""
    return NotReadable(
        f"{topic}, partition {partition} could not be read to its end: nothing came for"
        f" {seconds:g} s; look at its leader, then run it again"
    )


def _record(partition: int, offset: int, message: Message) -> Record:
    headers: Sequence[tuple[str, bytes | None]] = message.headers() or ()  # type: ignore[assignment]
    return Record(
        partition, offset, message.key(), message.value(), message.timestamp()[1], headers
    )


def read_views(settings: KafkaSettings) -> Views:
    """Return what `energy_views` says now; the topic must exist.

    Raises: NotReadable, CorruptRecord.
    """
    views = Views()
    with reader(settings) as consumer:
        for record in read_to_end(consumer, VIEWS.name, _FROM_THE_START):
            views.apply(record.key, record.value)
    return views
