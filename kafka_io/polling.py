"""A consumer that joins no group, and what has come for it: records, and the ends of partitions.

Guarantees: an error that passes by itself (a leader that moves, a connection) is passed over, for
librdkafka tries again; one that does not is raised, for nothing would ever come.
"""

from __future__ import annotations

import time
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message

from contract.kafka import KafkaSettings
from kafka_io.quiet import QUIET

MOST_RECORDS = 10_000
#: A broker that is back is found again within a second (librdkafka: ten).
SOON_BACK = {"reconnect.backoff.max.ms": 1000}
#: The consumer's rights, its login, or (auto.offset.reset=error) its place in the log are gone.
_LASTING = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError._AUTHENTICATION,
    KafkaError._AUTO_OFFSET_RESET,
}


def consumer_of(settings: KafkaSettings, name: str, more: dict[str, Any]) -> Consumer:
    """Make a consumer of committed records, unless `more` says otherwise.

    `name` is a group's that is never joined: librdkafka wants one all the same.
    """
    return Consumer(
        settings.for_confluent()
        | {
            "group.id": name,
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 50,
        }
        | more
        | QUIET
    )


def poll(
    consumer: Consumer, seconds: float, most: int = MOST_RECORDS, *, for_good: bool = False
) -> list[Message]:
    """Wait for the first message, take what is there beside it; empty: nothing came.

    Each is a record, or the end of a partition (`is_end`). librdkafka asks where the group is
    although nobody joins it, twice a second until it is told. It reads as well without an
    answer, so only a consumer that stays `for_good` needs the right: brokers log each refusal.
    Raises: KafkaException.
    """
    lasting = _LASTING | {KafkaError.GROUP_AUTHORIZATION_FAILED} if for_good else _LASTING
    deadline = time.monotonic() + seconds
    while True:
        first = consumer.poll(max(0.0, deadline - time.monotonic()))
        if first is None:
            return []
        # consume() alone waits out its timeout unless it can fill the whole list.
        rest = consumer.consume(most - 1, 0) if most > 1 else []
        come = [message for message in (first, *rest) if _has_come(message, lasting)]
        # What was passed over is no silence: who waits for long would give up at once.
        if come or time.monotonic() >= deadline:
            return come


def is_end(message: Message) -> bool:
    """Whether it is the end of its partition, at `offset()`, and no record."""
    return message.error() is not None


def _has_come(message: Message, lasting: set[int]) -> bool:
    error = message.error()
    if error is None or error.code() == KafkaError._PARTITION_EOF:
        return True
    if error.fatal() or error.code() in lasting:
        raise KafkaException(error)
    return False
