"""One partition's transactional writer: fence, write a transaction, stop.

Exactly one writer for each transactional.id is not fenced; it is the one that was started last.
A writer only writes on state that was read after its own `start`.

Most transactions are totals and a marker for one partition of one topic, and fit into one batch:
that is appended without a Kafka transaction, at a third of the requests. It is in the log whole
or not at all, and the log itself refuses the batch of a writer that was fenced there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from contract.quarantine import VIEW_VERSION_HEADER
from contract.view import Update, View
from kafka_io.rights import allowed, commit_as, write
from kafka_io.transactional_producer import (
    begin_transaction,
    drop_producer,
    fence_log,
    identity_of,
    leader_of,
    pass_transaction,
    shorten_backoff,
)
from stream_app import metrics
from stream_app.changelog.fence import WriterFence, keep_until
from stream_app.changelog.probe import probe_log
from stream_app.changelog.sends import (
    PATIENCE,
    append_rows,
    are_own_controls,
    new_producer,
    refused_when_too_large,
    send_quarantined,
    send_rows,
)
from stream_app.changelog.single_batches import SingleBatches
from stream_app.partition.commit_protocol import (
    AppendTotals,
    Begin,
    Commit,
    SendQuarantined,
    SendTotals,
    TransactionEffect,
    perform,
    transaction_steps,
)
from stream_app.partition.pending import Transaction

log = logging.getLogger(__name__)


class TransactionWriter:
    """Writes the transactions of one partition of a view in one view version."""

    def __init__(
        self,
        view: View,
        connection: Mapping[str, Any],
        view_version: int,
        partition: int,
        *,
        transaction_timeout_seconds: float,
        single_batches: SingleBatches,
        patience_seconds: float | None = None,
    ) -> None:
        """Store the arguments; `start` connects and fences.

        `patience_seconds` is how long quarantine records may take: half of the timeout by default.
        """
        self._view, self._connection, self._view_version = view, connection, view_version
        self._partition = partition
        self._patience_seconds = patience_seconds or transaction_timeout_seconds * PATIENCE
        self._changelog = view.changelog(view_version).name
        self._single_batches = single_batches
        self._counted_batches = metrics.SINGLE_BATCHES.of(view, partition)
        self.fence = WriterFence(single_batches)
        self._has_begun = False
        #: Whether Kafka may still be writing the end of the last transaction.
        self._is_ending = False
        self._begun_at = 0.0
        self._headers = [(VIEW_VERSION_HEADER, str(view_version).encode())]
        self._producer = new_producer(
            connection,
            view.transactional_id(view_version, partition),
            int(transaction_timeout_seconds * 1000),
        )

    async def start(self) -> None:
        """Fence every earlier writer; returns when nothing of it can come into the log any more.

        Its open transaction is aborted for good, and the log refuses its batches. Probes the
        log's broker where nobody in this process has.
        """
        shorten_backoff()
        writer = commit_as(self._view.transactional_id(self._view_version, self._partition))
        with allowed(writer, write(self._changelog)):
            await self._producer.start()
            self.fence.started(self.identity)
            self._begun_at = self.fence.now()
            await fence_log(self._producer, self._changelog, self._partition)
        self.fence.confirmed(self._begun_at)
        await self._single_batches.prove(
            self._leader(),
            lambda: probe_log(self._view, self._connection, self._view_version, self._partition),
        )

    @property
    def identity(self) -> tuple[int, int]:
        """Producer id and epoch, known once it has started."""
        return identity_of(self._producer)

    def _leader(self) -> int | None:
        return leader_of(self._producer, self._changelog, self._partition)

    async def keep(self) -> None:
        """Have coordinator and log see this writer again, which has nothing to write.

        Raises: ProducerFenced where it is not the one any more.
        """
        if not self._has_begun:
            await self._see_the_end()

    async def keep_until(self, work: asyncio.Event) -> None:
        """Wait for work, and be seen meanwhile before Kafka forgets who was fenced."""
        await keep_until(work, self.keep)

    async def stop(self) -> None:
        """Close the connections; safe to call more than once."""
        await self._producer.stop()

    async def drop(self) -> None:
        """Close the connections, whatever is still under way."""
        await drop_producer(self._producer)

    async def begin(self, devices: int) -> None:
        """Begin a commit of about so many totals ahead of `write`; returns once Kafka lets it.

        The end of the transaction before may still be under way: what is to be written is best
        taken after this. Not with quarantine records: where their topic is refused, a transaction
        that Kafka knows of would run into its timeout while they wait.
        """
        if self._has_begun:
            return
        if not self.fence.allows_single_batch(self._leader(), devices):
            self._begun_at = self.fence.now()
            await begin_transaction(self._producer, self._changelog, self._partition)
            self._has_begun = True
        elif self._is_ending:
            await self._see_the_end()

    async def abandon(self) -> None:
        """Abort what has begun ahead, if anything."""
        if self._has_begun:
            self._has_begun = False
            self.fence.control_record()
            await self._producer.abort_transaction()

    async def write(self, transaction: Transaction) -> int:
        """Commit a transaction; returns the changelog offset of its last record, the marker.

        Raises: PartitionRefusal where Kafka does not take it: nothing of it will be seen, and this
        writer is of no more use; any other exception leaves the outcome unknown and must end the
        process.
        """
        if transaction.quarantined:
            await self.abandon()
        in_one_batch = not self._has_begun and self.fence.makes_single_batch(
            self._leader(), transaction
        )
        if in_one_batch and self._is_ending:
            await self._see_the_end()
        return await perform(transaction_steps(transaction, in_one_batch=in_one_batch), self._do)

    async def _see_the_end(self) -> None:
        """Wait until the last transaction has ended: until then the log takes no other batch."""
        began = self.fence.now()
        self.fence.control_record()
        await pass_transaction(self._producer, self._changelog, self._partition)
        self._is_ending = False
        self.fence.all_but_the_last_are_written()
        self.fence.confirmed(began)

    async def _do(self, effect: TransactionEffect) -> int | None:
        producer = self._producer
        match effect:
            case Begin():
                if not self._has_begun:
                    self._begun_at = self.fence.now()
                    await producer.begin_transaction()
            case SendQuarantined(records):
                await send_quarantined(
                    producer, self._partition, records, self._headers, self._patience_seconds
                )
            case SendTotals(updates):
                with refused_when_too_large(self._partition, self._changelog):
                    return await self._send_totals(updates)
            case Commit():
                self._has_begun = False
                self._is_ending = True
                self.fence.control_record()
                await producer.commit_transaction()
                self.fence.confirmed(self._begun_at)
            case AppendTotals(updates):
                with refused_when_too_large(self._partition, self._changelog):
                    last = await append_rows(
                        producer, updates, self._changelog, self._partition, self.fence.check_age
                    )
                await self._appended(last + 1 - len(updates), len(updates), all_written=False)
                self._counted_batches.inc()
                return last
        return None

    async def _send_totals(self, updates: list[Update]) -> int:
        last = -1
        for count, future in await send_rows(
            self._producer, updates, self._changelog, self._partition
        ):
            metadata = await future
            await self._appended(metadata.offset, count, all_written=True)
            last = metadata.offset + count - 1
        return last

    async def _appended(self, base_offset: int, count: int, *, all_written: bool) -> None:
        """Compare where a batch is with where it must. Raises: RestartNeeded.

        A coordinator that gets no answer writes its control record again, and so does the next
        one: where nothing else stands before the batch, nobody else has written.
        """
        if offsets := self.fence.not_counted(base_offset):
            place = self._changelog, self._partition, offsets
            are_own = await are_own_controls(self.identity, self._connection, *place)
            if are_own:
                log.info("partition %d: control records twice in %s", self._partition, offsets)
                self.fence.control_records_until(base_offset)
        self.fence.appended(base_offset, count, all_written=all_written)
