"""From chunk to fold: which chunks a partition folds, fetches again, skips or is refused for."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection

from aiokafka.errors import KafkaError

from kafka_io.batches.chunk import RecordChunk, UnreadableBatch
from stream_app import metrics
from stream_app.changelog.lineage import Lineage
from stream_app.changelog.origin import (
    LostOffsets,
    go_on_without,
    is_accepted,
    removed,
    unreadable,
)
from stream_app.errors import PartitionRefusal
from stream_app.ownership.source import Source
from stream_app.partition.fold_state import PartitionFold, Verdict

log = logging.getLogger(__name__)


class Intake:
    """Passes one partition's chunks on to its fold."""

    def __init__(
        self,
        fold: PartitionFold,
        source: Source,
        lineage: Lineage,
        accepted: Collection[LostOffsets],
        goes_on: Callable[[], bool],
        refuse: Callable[[PartitionRefusal], None],
    ) -> None:
        """`accepted` are offsets to continue without; `goes_on` tells whether it is still wanted.

        `refuse` sets the partition aside.
        """
        self._fold, self._source, self._lineage = fold, source, lineage
        self._accepted, self._goes_on, self._refuse = accepted, goes_on, refuse

    async def wants(self, chunk: RecordChunk) -> bool:
        """Return whether a chunk may be folded: of the log that is counted, as far as known."""

        async def proven() -> bool:
            if self._fold.needs_proof(chunk):
                await self._prove()
            return self._goes_on()

        return await self._judged(chunk, proven())

    async def follow(
        self, chunk: RecordChunk, verdict: Verdict, damage: UnreadableBatch | None
    ) -> bool:
        """Do what a chunk asks for that was judged so and folded up to the damage.

        Returns whether its last record is folded now.
        """
        return await self._judged(chunk, self._follow(chunk, verdict, damage))

    async def _judged(self, chunk: RecordChunk, judgement: Awaitable[bool]) -> bool:
        """Wait for a judgement, which may be that the partition is set aside.

        Right after a change of the leader Kafka may not answer about the log: the chunk is fetched
        again and judged again. Where it never answers, the progress watchdog ends the worker.
        """
        try:
            return await judgement
        except PartitionRefusal as refusal:
            self._refuse(refusal)
        except (KafkaError, OSError) as error:
            log.info("partition %d: cannot judge %r now: %r", self._fold.partition, chunk, error)
            await self._fetch_again()
        return False

    async def _prove(self) -> None:
        """Compare what stands at the folded offset now; refuses the partition where it differs."""
        batch = self._fold.folded_batch
        refusals = await self._lineage.refusals({self._fold.partition: batch} if batch else {})
        for refusal in refusals.values():
            raise refusal

    async def _follow(
        self, chunk: RecordChunk, verdict: Verdict, damage: UnreadableBatch | None
    ) -> bool:
        fold = self._fold
        if verdict is Verdict.GAP:
            await self._seek_back(chunk)
        elif verdict is Verdict.REDELIVERED:
            metrics.CHUNKS_REDELIVERED.inc()
        elif damage is not None:
            # Of another view that is behind this one it may be what this one has passed already.
            if damage.last >= fold.next_offset:
                self._pass(LostOffsets(fold.next_offset, damage.last), unreadable, damage.why)
            if chunk.next_offset > fold.next_offset:
                # A chunk is parsed once: what is behind the batch has to come again.
                await self._fetch_again()
            return False
        elif verdict is Verdict.STRADDLING:
            metrics.CHUNKS_STRADDLING.inc()
        return verdict.is_folded

    async def _seek_back(self, chunk: RecordChunk) -> None:
        """A chunk is missing: fetch again from where the fold stands.

        Chunks that were fetched before a seek cause another one, a handful at most: nothing tells
        them from chunks after it, which must not be let pass.
        """
        partition, wanted = self._fold.partition, self._fold.next_offset
        first, _ = await self._source.bounds(partition)
        if first > wanted:
            self._pass(LostOffsets(wanted, first - 1), removed)
        log.warning("partition %d: expected %d, got %r: seek", partition, wanted, chunk)
        await self._fetch_again()

    async def _fetch_again(self) -> None:
        """Fetch next what the fold takes next; nothing where the partition was released."""
        if self._goes_on():
            metrics.RESEEKS.labels(str(self._fold.partition)).inc()
            await self._source.seek(self._fold.partition, self._fold.next_offset)

    def _pass(self, lost: LostOffsets, refusal: Callable[..., PartitionRefusal], *why: str) -> None:
        """Go on without offsets where they are accepted; else refuse the partition."""
        if not is_accepted(lost, self._accepted):
            raise refusal(self._fold.partition, lost, *why)
        go_on_without(self._fold.view, self._fold.partition, lost)
        self._fold.skip_to(lost.last + 1)
