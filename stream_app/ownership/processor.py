"""From chunk to commit, for one partition.

The agent adds chunks; one task for each partition takes what is pending when the backlog says
so, commits it to Kafka, then writes the store, then acknowledges. Chunks that arrive meanwhile
go into the next transaction. A pipe belongs to one generation of the group and is never used
after it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection
from typing import Any

from contract.errors import CorruptRecord
from kafka_io.batches.chunk import RecordChunk
from stream_app import metrics
from stream_app.changelog.claims import stop_writers
from stream_app.changelog.lineage import Lineage
from stream_app.changelog.origin import LostOffsets
from stream_app.changelog.writer import TransactionWriter
from stream_app.errors import PartitionRefusal
from stream_app.ownership.intake import Intake
from stream_app.ownership.source import Source
from stream_app.partition.commit_policy import Backlog
from stream_app.partition.commit_protocol import (
    Acknowledge,
    CommitEffect,
    ReadStore,
    WriteStore,
    WriteTransaction,
    commit_steps,
    perform,
)
from stream_app.partition.fold_state import PartitionFold
from stream_app.partition.pending import Pending
from stream_app.process.exit import end_process
from stream_app.store.rocksdb_store import PartitionStore

log = logging.getLogger(__name__)

_LAG_POLL_SECONDS = 0.005


class PartitionPipe:
    """One partition in one generation."""

    def __init__(
        self,
        fold: PartitionFold,
        writer: TransactionWriter,
        store: PartitionStore,
        source: Source,
        *,
        generation: int,
        backlog: Backlog,
        lineage: Lineage,
        on_refusal: Callable[[PartitionRefusal], None] = lambda _: None,
        accepted: Collection[LostOffsets] = (),
    ) -> None:
        """Take over a fenced writer and a recovered store.

        `on_refusal` is told why the partition is set aside, once all before that is committed;
        `accepted` are offsets to go on without.
        """
        self.fold = fold
        self.generation = generation
        #: Why the partition is set aside.
        self.refusal: PartitionRefusal | None = None
        self._writer = writer
        self._store = store
        self._source = source
        self._backlog = backlog
        self._on_refusal = on_refusal
        self._intake = Intake(fold, source, lineage, accepted, self._goes_on)
        #: Up to where it is in a commit, or was in the one before.
        self._taken_offset = fold.folded_offset
        self._work = asyncio.Event()
        self._closed = False
        self._task: asyncio.Task[None] | None = None
        label = str(fold.partition)
        self._folded = metrics.READINGS_FOLDED.labels(label)
        self._odd_times = metrics.ODD_TIMES.labels(label)
        self._quarantined = metrics.RECORDS_QUARANTINED.labels(label)
        self._transactions = metrics.TRANSACTIONS.labels(label)
        self._applied = metrics.APPLIED_OFFSET.labels(label)
        self._applied.set(fold.marker.applied_offset)

    @property
    def partition(self) -> int:
        """The source partition."""
        return self.fold.partition

    @property
    def applied_offset(self) -> int:
        """What Kafka and the store have."""
        return self.fold.marker.applied_offset

    def start(self) -> None:
        """Begin to commit."""
        self._backlog.join(self.fold)
        self._task = asyncio.create_task(self._run(), name=f"pipe-{self.partition}")

    async def has_room(self) -> bool:
        """Wait while too much is folded and not committed; False where no more is wanted."""
        while self._goes_on() and self._backlog.is_full(self.fold):
            await self._backlog.change()
        return self._goes_on()

    async def fold_chunk(self, chunk: RecordChunk) -> bool:
        """Fold a chunk; tells whether its last record is folded. May set the partition aside."""
        try:
            return await self._intake.take(chunk)
        except PartitionRefusal as refusal:
            self.set_aside(refusal)
            return False

    def acknowledge_once_committed(self, acknowledge: Callable[[], Any]) -> None:
        """Call this once all that is folded now is in Kafka and in the store."""
        self.fold.pending.events.append(acknowledge)

    def commit_when_due(self) -> None:
        """Have what is folded committed, as soon as the backlog says so."""
        if self.fold.folded_offset > self._taken_offset:
            self._work.set()

    def _goes_on(self) -> bool:
        return not self._closed and self.refusal is None

    async def finish(self) -> None:
        """Finish the running transaction and drop what is only folded."""
        self._closed = True
        self._work.set()
        self._backlog.leave(self.fold)
        if self._task is not None:
            await self._task

    async def close(self) -> None:
        """Finish, and stop the writer."""
        await self.finish()
        await stop_writers([self._writer])

    def set_aside(self, refusal: PartitionRefusal) -> None:
        """Fold no more; what is folded is still committed, and then the refusal is told."""
        self.refusal = refusal
        self._backlog.leave(self.fold)
        self._work.set()

    async def resume(self) -> None:
        """Try again what was refused in reading."""
        self.refusal = None
        self._backlog.join(self.fold)
        await self._source.resume(self.partition, self.fold.next_offset)

    async def _run(self) -> None:
        try:
            while not self._closed:
                await self._writer.keep_until(self._work)
                if self.refusal is not None and self.fold.folded_offset == self.applied_offset:
                    self._work.clear()
                    self._on_refusal(self.refusal)
                    continue
                await self._gather()
                if self._backlog.is_large(self.fold):
                    async with self._backlog.turn:
                        await self._transact(in_turn=True)
                else:
                    await self._transact(in_turn=False)
                if self.refusal is not None:
                    self._work.set()
            await self._writer.abandon()
        except PartitionRefusal as refusal:
            # Not written: the writer is of no more use, and what was folded is fetched again.
            self._closed = True
            try:
                await self._writer.drop()
            except Exception as error:
                log.info("partition %d: its writer is left as it is: %r", self.partition, error)
            finally:
                self.set_aside(refusal)
                self._on_refusal(refusal)
        except BaseException as error:
            end_process(f"partition {self.partition} at {self.applied_offset}", error)

    async def _transact(self, *, in_turn: bool) -> None:
        """Commit what is pending."""
        if not self._closed and not self.fold.pending.quarantined:
            # Kafka may still be ending the last one: what comes meanwhile is taken too.
            await self._writer.begin(len(self.fold.pending.deltas))
        if self._closed or (in_turn and self.fold.pending.quarantined):
            # Kafka may refuse the quarantine for long: not while others wait for their turn.
            return
        self._work.clear()
        self._taken_offset = self.fold.folded_offset
        taken, began = self.fold.take(), time.monotonic()
        devices = len(taken.deltas)
        self._backlog.changed()
        await self._commit(taken, self._taken_offset)
        if not taken.quarantined:
            self._backlog.took(devices, time.monotonic() - began)

    async def _gather(self) -> None:
        """While far behind, wait (bounded) for more readings: fewer, larger transactions."""
        began = time.monotonic()
        while not self._closed and self.refusal is None:
            end = self._source.end_offset(self.partition)
            behind = 0 if end is None else end - 1 - self.fold.folded_offset
            if self._backlog.is_due(self.fold, behind, time.monotonic() - began):
                return
            await asyncio.sleep(_LAG_POLL_SECONDS)

    async def _commit(self, taken: Pending, applied_offset: int) -> None:
        """Commit to Kafka, then write the store, then acknowledge; nothing in between fails."""
        try:
            transaction = await perform(commit_steps(self.fold, taken, applied_offset), self._do)
        except CorruptRecord:
            # Read from the store: the changelog tells whether that alone is damaged.
            self._store.mark_damaged()
            raise
        self._transactions.inc()
        self._folded.inc(taken.counted)
        if taken.odd_times:
            self._odd_times.inc(taken.odd_times)
        if transaction.quarantined:
            self._quarantined.inc(len(transaction.quarantined))
        self._applied.set(transaction.marker.applied_offset)

    async def _do(self, effect: CommitEffect) -> Any:
        match effect:
            case ReadStore(keys):
                try:
                    return self._store.get(keys)
                except Exception:
                    # Trusted again at the next start, it would end every process.
                    self._store.mark_damaged()
                    raise
            case WriteTransaction(transaction):
                began = time.perf_counter()
                last = await self._writer.write(transaction)
                metrics.TRANSACTION_SECONDS.observe(time.perf_counter() - began)
                return last
            case WriteStore(updates, changelog_offset):
                self._store.write(updates, changelog_offset)
            case Acknowledge(events):
                for acknowledge in events:
                    acknowledge()
        return None
