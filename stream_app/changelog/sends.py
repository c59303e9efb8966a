"""What a transaction sends, in batches, and which of Kafka's refusals set the partition aside.

A refusal is known for sure: nothing of the transaction will be seen by a reader of committed
records. All else leaves the outcome open, and is raised as it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    BrokerResponseError,
    InvalidProducerEpoch,
    InvalidProducerIdMapping,
    InvalidTxnState,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    RecordListTooLargeError,
    TransactionalIdAuthorizationFailed,
    UnknownProducerId,
)

from contract.cluster_rules import enlarge
from contract.topics import QUARANTINE
from kafka_io.transactional_producer import send_records
from stream_app.errors import PartitionRefusal
from stream_app.partition.pending import QuarantineRecord

#: Quarantine records that are not acknowledged in this part of a transaction's timeout count as
#: refused. Kafka's client sends them again without end where the topic is gone or too few
#: replicas are in sync, and after the timeout the coordinator ends the writer.
PATIENCE = 0.5
#: Another writer has started, or Kafka has lost this one: no refusal of what is written.
_LOST_WRITER = (
    InvalidProducerEpoch,
    InvalidProducerIdMapping,
    InvalidTxnState,
    OutOfOrderSequenceNumber,
    TransactionalIdAuthorizationFailed,
    UnknownProducerId,
)

Headers = list[tuple[str, bytes]]


@contextmanager
def refused_when_too_large(partition: int, changelog: str) -> Iterator[None]:
    """Refuse the partition where Kafka takes no batch as large as its commit."""
    try:
        yield
    except (MessageSizeTooLargeError, RecordListTooLargeError) as error:
        raise PartitionRefusal(
            partition,
            "too_large",
            f"{changelog} does not take a commit as large as this: {enlarge(changelog)}",
        ) from error


async def send_quarantined(
    producer: AIOKafkaProducer,
    partition: int,
    records: Iterable[QuarantineRecord],
    headers: Headers,
    patience_seconds: float,
) -> None:
    """Send to the quarantine, and wait for all. Raises: PartitionRefusal, whatever Kafka says."""
    try:
        async with asyncio.timeout(patience_seconds):
            if partition not in await producer.partitions_for(QUARANTINE.name):
                raise _refused(partition, "it has no such partition: energy topics grow")
            sent = await send_records(producer, records, QUARANTINE.name, partition, headers)
            await asyncio.gather(*(future for _, future in sent))
    except TimeoutError as error:
        raise _refused(
            partition,
            f"not acknowledged in {patience_seconds:g} s: is it there (energy topics create), with"
            " enough replicas in sync?",
        ) from error
    except _LOST_WRITER:
        raise
    except (BrokerResponseError, KafkaTimeoutError) as error:
        raise _refused(partition, str(error) or type(error).__name__) from error


def _refused(partition: int, why: str) -> PartitionRefusal:
    what = f"{QUARANTINE.name} does not take its invalid records: {why}"
    return PartitionRefusal(partition, "quarantine", what)
