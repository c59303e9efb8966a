"""One partition's transactional writer: fence, write a transaction, stop.

Exactly one writer for each transactional.id is not fenced; it is the one that was started last.
A writer only writes on state that was read after its own `start`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    KafkaError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)

from contract.quarantine import VIEW_VERSION_HEADER
from contract.topics import QUARANTINE, changelog, transactional_id
from record_batches.transactions import begin_transaction, shorten_backoff
from stream_app.errors import QuarantineRefused
from stream_app.partition import QuarantineRecord, Transaction
from stream_app.steps import (
    Begin,
    Commit,
    SendQuarantined,
    SendTotals,
    TransactionEffect,
    perform,
    transaction_steps,
)

BATCH_BYTES = 1_000_000
#: A quarantine record can be twice as large as a batch of totals.
REQUEST_BYTES = 3_000_000
#: The fence waits for the abort of an open transaction; polls this often.
RETRY_BACKOFF_MS = 20
REQUEST_TIMEOUT_MS = 20_000


class TransactionWriter:
    """Writes the transactions of one partition of one view version."""

    def __init__(
        self,
        connection: Mapping[str, Any],
        view_version: int,
        partition: int,
        *,
        transaction_timeout_seconds: float,
    ) -> None:
        """Only keep the arguments; `start` connects and fences."""
        self._partition = partition
        self._changelog = changelog(view_version).name
        self._has_begun = False
        self._headers = [(VIEW_VERSION_HEADER, str(view_version).encode())]
        self._producer = AIOKafkaProducer(
            **connection,
            client_id=f"{transactional_id(view_version, partition)}-writer",
            transactional_id=transactional_id(view_version, partition),
            transaction_timeout_ms=int(transaction_timeout_seconds * 1000),
            acks="all",
            linger_ms=0,
            max_batch_size=BATCH_BYTES,
            max_request_size=REQUEST_BYTES,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            retry_backoff_ms=RETRY_BACKOFF_MS,
        )

    async def start(self) -> None:
        """Fence every earlier writer; returns when its open transaction is aborted for good."""
        shorten_backoff()
        await self._producer.start()

    async def stop(self) -> None:
        """Close the connections; safe to call more than once."""
        await self._producer.stop()

    async def begin(self) -> None:
        """Begin a transaction of totals ahead of `write`; returns once Kafka lets it.

        The end of the one before may still be under way: what is to be written is best taken
        after this. Not with quarantine records: where their topic is refused, a transaction that
        Kafka knows of would run into its timeout while they wait.
        """
        if not self._has_begun:
            await begin_transaction(self._producer, self._changelog, self._partition)
            self._has_begun = True

    async def abandon(self) -> None:
        """Abort what has begun ahead, if anything."""
        if self._has_begun:
            self._has_begun = False
            await self._producer.abort_transaction()

    async def write(self, transaction: Transaction) -> int:
        """Commit a transaction; returns the changelog offset of its last record, the marker.

        Raises: QuarantineRefused after an abort, nothing is written; any other exception leaves
        the outcome unknown and must end the process.
        """
        if transaction.quarantined:
            await self.abandon()
        return await perform(transaction_steps(transaction), self._do)

    async def _do(self, effect: TransactionEffect) -> int | None:
        producer = self._producer
        match effect:
            case Begin():
                if not self._has_begun:
                    await producer.begin_transaction()
            case SendQuarantined(records):
                try:
                    await self._send_quarantined(records)
                except (TopicAuthorizationFailedError, UnknownTopicOrPartitionError) as error:
                    await producer.abort_transaction()
                    raise QuarantineRefused(f"{QUARANTINE.name}: {error}") from error
            case SendTotals(updates):
                return await self._send_totals(updates)
            case Commit():
                self._has_begun = False
                await producer.commit_transaction()
        return None

    async def _send_totals(self, updates: Iterable[tuple[bytes, bytes]]) -> int:
        last = -1
        for count, future in await self._send(self._changelog, updates, ()):
            metadata = await future
            last = metadata.offset + count - 1
        return last

    async def _send_quarantined(self, records: Iterable[QuarantineRecord]) -> None:
        for _, future in await self._send(QUARANTINE.name, records, self._headers):
            await future

    async def _send(
        self,
        topic: str,
        records: Iterable[tuple[bytes | None, bytes]],
        headers: Iterable[tuple[str, bytes]],
    ) -> list[tuple[int, asyncio.Future[Any]]]:
        """Send records in batches; returns (number of records, future) of each batch."""
        producer, headers = self._producer, list(headers)
        sent = []
        batch, count = producer.create_batch(), 0
        append = batch.append
        for key, value in records:
            if append(key=key, value=value, timestamp=None, headers=headers) is None:
                batch.close()
                future = await producer.send_batch(batch, topic, partition=self._partition)
                sent.append((count, future))
                batch, count = producer.create_batch(), 0
                append = batch.append
                if append(key=key, value=value, timestamp=None, headers=headers) is None:
                    raise KafkaError(f"a record of {len(value)} bytes does not fit into a batch")
            count += 1
        batch.close()
        future = await producer.send_batch(batch, topic, partition=self._partition)
        sent.append((count, future))
        return sent
