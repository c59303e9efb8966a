"""How the records of one delivery ended: acknowledged, surely in no log, or unknown.

Kafka's report of a record that timed out or was recalled does not say whether it had been sent,
and confluent-kafka does not show librdkafka's own mark. So a record is only called refused if

1. it was never handed to librdkafka, or
2. Kafka's answer says that it was not appended, or
3. librdkafka's count of transmitted records is the same as before the delivery began.

Every other failure is unknown. Reports come from the poll thread of the producer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from confluent_kafka import KafkaError

#: Codes of records that were not appended, whatever was tried before.
NOT_APPENDED = frozenset(
    {
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.RECORD_LIST_TOO_LARGE,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TOPIC_EXCEPTION,
        KafkaError.INVALID_TIMESTAMP,
        KafkaError.INVALID_RECORD,
        KafkaError.POLICY_VIOLATION,
    }
)


class Outcome(NamedTuple):
    """How all records of a delivery ended.

    Shape: `acknowledged` by topic; `offsets` (topic, partition) -> largest offset acknowledged.
    """

    acknowledged: Mapping[str, int]
    refused: int
    unknown: int
    offsets: Mapping[tuple[str, int], int]
    #: The first failure in Kafka's words, None if there is none.
    reason: str | None
