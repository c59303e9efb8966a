"""From chunk to commit, for one partition of one view.

The agent adds chunks; one task for each partition takes what is pending when the backlog says
so, commits it to Kafka, then writes the store, then acknowledges. Chunks that arrive meanwhile
go into the next transaction. A processor belongs to one generation of the group and is never used
after it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection
from typing import Any

from contract.errors import CorruptRecord
from kafka_io.batches.chunk import RecordChunk, UnreadableBatch
from stream_app.changelog.claims import stop_writers
from stream_app.changelog.lineage import Lineage
from stream_app.changelog.origin import LostOffsets
from stream_app.changelog.writer import TransactionWriter
from stream_app.errors import PartitionRefusal
from stream_app.ownership.intake import Intake
from stream_app.ownership.processor_metrics import ProcessorMetrics
from stream_app.ownership.source import Source
from stream_app.partition.commit_policy import Backlog
from stream_app.partition.commit_protocol import (
    Acknowledge,
    CommitEffect,
    ReadOld,
    ReadStore,
    WriteStore,
    WriteTransaction,
    commit_steps,
    perform,
)
from stream_app.partition.fold_state import PartitionFold, Verdict
from stream_app.partition.pending import Pending
from stream_app.partition.roll_up import Found
from stream_app.process.exit import end_process
from stream_app.store.rocksdb_store import PartitionStore

log = logging.getLogger(__name__)


class PartitionProcessor:
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
        on_refusal: Callable[[PartitionRefusal], Awaitable[None]],
        accepted: Collection[LostOffsets] = (),
    ) -> None:
        """Take over a fenced writer and a recovered store.

        `on_refusal` is called once all before the refusal is committed and the partition set aside;
        `accepted` are offsets to continue without.
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
        self._intake = Intake(fold, source, lineage, accepted, self._goes_on, self.set_aside)
        #: Up to where it is in a commit, or was in the one before.
        self._taken_offset = fold.folded_offset
        self._work = asyncio.Event()
        self._closed = False
        self._task: asyncio.Task[None] | None = None
        self._metrics = ProcessorMetrics(fold)

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
        self._task = asyncio.create_task(self._run(), name=f"processor-{self.partition}")

    async def has_room(self) -> bool:
        """Wait while too much is folded and not committed; False if no more chunks are wanted."""
        while self._goes_on() and self._backlog.is_full(self.fold):
            await self._backlog.change()
        return self._goes_on()

    async def wants(self, chunk: RecordChunk) -> bool:
        """Return whether a chunk may be folded. May set the partition aside."""
        return await self._intake.wants(chunk)

    async def follow(
        self, chunk: RecordChunk, verdict: Verdict, damage: UnreadableBatch | None
    ) -> bool:
        """Act on a chunk's verdict; returns whether all is folded. May set it aside."""
        return await self._intake.follow(chunk, verdict, damage)

    def acknowledge_once_committed(self, acknowledge: Callable[[], Any]) -> None:
        """Call this once all that is folded now is in Kafka and in the store."""
        self.fold.pending.events.append(acknowledge)

    def commit_when_due(self) -> None:
        """Have what is folded, or old, committed as soon as the backlog says so."""
        roll_up = self.fold.roll_up
        if self.fold.folded_offset > self._taken_offset or (
            roll_up is not None and roll_up.is_due() and self._goes_on()
        ):
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
        """Stop folding; what is folded is still committed, and then the refusal is reported."""
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
                    await self._on_refusal(self.refusal)
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
            # Not written: the writer cannot be used again, and what was folded is fetched again.
            self._closed = True
            try:
                await self._writer.drop()
            except Exception as error:
                log.info("partition %d: its writer is left as it is: %r", self.partition, error)
            finally:
                self.set_aside(refusal)
                await self._on_refusal(refusal)
        except BaseException as error:
            end_process(f"partition {self.partition} at {self.applied_offset}", error)

    async def _transact(self, *, in_turn: bool) -> None:
        """Commit what is pending."""
        if not self._closed and not self.fold.pending.quarantined:
            # Kafka may still be ending the last one: what comes meanwhile is taken too.
            await self._writer.begin(self.fold.pending_rows)
        if self._closed or (in_turn and self.fold.pending.quarantined):
            # Kafka may refuse the quarantine for long: not while others wait for their turn.
            return
        self._work.clear()
        self._taken_offset = self.fold.folded_offset
        taken, began = self.fold.take(), time.monotonic()
        devices = len(taken.deltas)
        self._backlog.changed()
        await self._commit(taken, self._taken_offset)
        if devices and not taken.quarantined:
            self._backlog.took(self.fold.view, devices, time.monotonic() - began)

    async def _gather(self) -> None:
        """Wait (bounded) for more readings, while behind or not due by the view's clock."""
        began = time.monotonic()
        while not self._closed and self.refusal is None:
            end = self._source.end_offset(self.partition)
            behind = 0 if end is None else end - 1 - self.fold.folded_offset
            if self._backlog.is_due(self.fold, behind, time.monotonic() - began):
                return
            await asyncio.sleep(self._backlog.pause(self.fold, behind))

    async def _commit(self, taken: Pending, applied_offset: int) -> None:
        """Commit to Kafka, then write the store, then acknowledge; nothing in between fails."""
        try:
            transaction = await perform(commit_steps(self.fold, taken, applied_offset), self._do)
        except CorruptRecord:
            # Read from the store: the changelog tells whether that alone is damaged.
            self._store.mark_damaged()
            raise
        self._metrics.committed(transaction, taken)

    async def _do(self, effect: CommitEffect) -> Any:
        match effect:
            case ReadStore(keys):
                return self._store.get(keys)
            case ReadOld(look):
                return Found(*self._store.look_for(*look))
            case WriteTransaction(transaction):
                began = time.perf_counter()
                last = await self._writer.write(transaction)
                self._metrics.seconds.observe(time.perf_counter() - began)
                return last
            case WriteStore(updates, changelog_offset):
                self._store.write(updates, changelog_offset)
            case Acknowledge(events):
                for acknowledge in events:
                    acknowledge()
        return None
