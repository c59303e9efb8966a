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

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from contract.kafka import KafkaSettings
from contract.topics import VIEWS
from contract.views import Views
from deploy.errors import NotReadable
from stream_app.quiet import QUIET

_FROM_THE_START = {0: OFFSET_BEGINNING}
_POLL_SECONDS = 0.5
_RECORDS_AT_ONCE = 10_000


class Record(NamedTuple):
    """One record as it stands in the log."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp_ms: int
    headers: Sequence[tuple[str, bytes | None]]


@contextmanager
def reader(settings: KafkaSettings) -> Iterator[Consumer]:
    """A consumer that reads committed records and reports the end of each partition."""
    consumer = Consumer(
        settings.for_confluent()
        | {
            # Never joined: librdkafka wants a name all the same.
            "group.id": "energy-reader",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 50,
        }
        | QUIET
    )
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
        for message in _available(consumer):
            partition, offset, error = message.partition(), message.offset(), message.error()
            if error is None:
                assert partition is not None
                assert offset is not None
                yield _record(partition, offset, message)
            elif error.code() == KafkaError._PARTITION_EOF:
                assert partition is not None
                waiting.discard(partition)
            elif error.fatal():
                raise KafkaException(error)
            else:
                continue
            deadline = time.monotonic() + timeout_seconds
        if time.monotonic() > deadline:
            raise NotReadable(
                f"{topic}, partition {sorted(waiting)[0]} could not be read to its end: nothing"
                f" came for {timeout_seconds:g} s; look at its leader, then run it again"
            )


def _record(partition: int, offset: int, message: Message) -> Record:
    headers: Sequence[tuple[str, bytes | None]] = message.headers() or ()  # type: ignore[assignment]
    return Record(
        partition, offset, message.key(), message.value(), message.timestamp()[1], headers
    )


def _available(consumer: Consumer) -> list[Message]:
    # consume() alone waits out its timeout unless it can fill the whole list.
    first = consumer.poll(_POLL_SECONDS)
    return [] if first is None else [first, *consumer.consume(_RECORDS_AT_ONCE, 0)]


def read_views(settings: KafkaSettings) -> Views:
    """Return what `energy_views` says now; the topic must exist.

    Raises: NotReadable, CorruptRecord.
    """
    views = Views()
    with reader(settings) as consumer:
        for record in read_to_end(consumer, VIEWS.name, _FROM_THE_START):
            views.apply(record.key, record.value)
    return views
