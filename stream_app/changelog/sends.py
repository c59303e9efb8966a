"""What a commit sends, in batches, and which of Kafka's refusals set the partition aside.

A refusal is certain: no reader of committed records will see anything of the transaction. Every
other error leaves the outcome unknown, and is raised as it is.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    BrokerResponseError,
    InvalidProducerEpoch,
    InvalidProducerIdMapping,
    InvalidTxnState,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    RecordListTooLargeError,
    TransactionalIdAuthorizationFailed,
    UnknownProducerId,
)

from contract.cluster_rules import enlarge
from contract.errors import text_of
from contract.topics import QUARANTINE
from contract.view import Update
from kafka_io.batches.reader import are_controls_of
from kafka_io.transactional_producer import PLAIN, ZSTD, append_batch, send_records
from stream_app.errors import PartitionRefusal
from stream_app.partition.pending import QuarantineRecord

log = logging.getLogger(__name__)

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

#: Of a batch, before it is compressed.
BATCH_BYTES = 1_000_000
#: A commit of so many rows is compressed. One of fewer gains little, and comes often:
#: docs/BENCHMARKS.md.
COMPRESSED_ROWS = 64
#: A quarantine record can be twice as large as a batch of rows.
REQUEST_BYTES = 3_000_000
REQUEST_TIMEOUT_MS = 20_000
#: The fence waits for the abort of an open transaction; polls this often.
RETRY_BACKOFF_MS = 20
#: So long a commit waits for a look at what precedes it.
LOOK_SECONDS = 5.0

Headers = list[tuple[str, bytes]]


def new_producer(
    connection: Mapping[str, Any], transactional_id: str, transaction_timeout_ms: int
) -> AIOKafkaProducer:
    """Return a writer's producer, not yet connected."""
    return AIOKafkaProducer(
        **connection,
        client_id=f"{transactional_id}-writer",
        transactional_id=transactional_id,
        transaction_timeout_ms=transaction_timeout_ms,
        acks="all",
        linger_ms=0,
        max_request_size=REQUEST_BYTES,
        request_timeout_ms=REQUEST_TIMEOUT_MS,
        retry_backoff_ms=RETRY_BACKOFF_MS,
    )


def codec_of(rows: int) -> int:
    """Return how the batches of a commit of so many rows are compressed."""
    return ZSTD if rows >= COMPRESSED_ROWS else PLAIN


async def append_rows(
    producer: AIOKafkaProducer,
    updates: list[Update],
    topic: str,
    partition: int,
    look: Callable[[], None],
) -> int:
    """Append a commit's rows as one batch, as `append_batch` does."""
    return await append_batch(
        producer,
        updates,
        topic,
        partition,
        most_bytes=BATCH_BYTES,
        codec=codec_of(len(updates)),
        look=look,
    )


async def send_rows(
    producer: AIOKafkaProducer, updates: list[Update], topic: str, partition: int
) -> list[tuple[int, asyncio.Future[Any]]]:
    """Send a commit's rows in a transaction, as `send_records` does."""
    codec = codec_of(len(updates))
    return await send_records(
        producer, updates, topic, partition, most_bytes=BATCH_BYTES, codec=codec
    )


async def are_own_controls(
    identity: tuple[int, int],
    connection: Mapping[str, Any],
    topic: str,
    partition: int,
    offsets: range,
) -> bool:
    """Read whether these are control records of a writer; False where that is not known."""
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            return await are_controls_of(identity, connection, topic, partition, offsets)
    except (KafkaError, TimeoutError) as error:
        log.warning("partition %d: cannot read %s: %r", partition, offsets, error)
        return False


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
            sent = await send_records(
                producer, records, QUARANTINE.name, partition, headers, most_bytes=BATCH_BYTES
            )
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
        raise _refused(partition, text_of(error)) from error


def _refused(partition: int, why: str) -> PartitionRefusal:
    what = f"{QUARANTINE.name} does not take its invalid records: {why}"
    return PartitionRefusal(partition, "quarantine", what)
