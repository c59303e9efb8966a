"""From chunk to fold: what a partition takes in, has fetched again, passes or is refused for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection

from aiokafka.errors import KafkaError

from kafka_io.batches.chunk import RecordChunk, UnreadableBatch
from stream_app import metrics
from stream_app.changelog.lineage import Lineage
from stream_app.changelog.origin import LostOffsets, go_on_without, removed, unreadable
from stream_app.errors import PartitionRefusal
from stream_app.ownership.source import Source
from stream_app.partition.fold_state import PartitionFold, Verdict

log = logging.getLogger(__name__)


class Intake:
    """The way of one partition's chunks into its fold."""

    def __init__(
        self,
        fold: PartitionFold,
        source: Source,
        lineage: Lineage,
        accepted: Collection[LostOffsets],
        goes_on: Callable[[], bool],
    ) -> None:
        """`accepted` are offsets to go on without; `goes_on` tells whether it is still wanted."""
        self._fold, self._source, self._lineage = fold, source, lineage
        self._accepted, self._goes_on = accepted, goes_on

    async def take(self, chunk: RecordChunk) -> bool:
        """Fold a chunk; tells whether it has folded its last record now.

        Right after a change of the leader Kafka may not answer about the log: the chunk is fetched
        again and judged anew. Where it never answers, the progress watchdog ends the worker.
        Raises: PartitionRefusal.
        """
        try:
            if self._fold.needs_proof(chunk):
                await self._prove()
            return self._goes_on() and await self._accept(chunk)
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

    async def _accept(self, chunk: RecordChunk) -> bool:
        fold = self._fold
        try:
            verdict = fold.accept(chunk)
        except UnreadableBatch as batch:
            self._pass(LostOffsets(fold.next_offset, batch.last), unreadable, batch.why)
            if chunk.next_offset > fold.next_offset:
                # A chunk is parsed once: what is behind the batch has to come anew.
                await self._fetch_again()
            return False
        if verdict is Verdict.GAP:
            await self._seek_back(chunk)
        elif verdict is Verdict.REDELIVERED:
            metrics.CHUNKS_REDELIVERED.inc()
        elif verdict is Verdict.STRADDLING:
            metrics.CHUNKS_STRADDLING.inc()
        return verdict in (Verdict.NEXT, Verdict.STRADDLING)

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
        """Fetch next what the fold takes next; nothing where the partition was let go meanwhile."""
        if self._goes_on():
            metrics.RESEEKS.labels(str(self._fold.partition)).inc()
            await self._source.seek(self._fold.partition, self._fold.next_offset)

    def _pass(self, lost: LostOffsets, refusal: Callable[..., PartitionRefusal], *why: str) -> None:
        """Go on without offsets where exactly they are accepted; else refuse the partition."""
        if lost not in self._accepted:
            raise refusal(self._fold.partition, lost, *why)
        go_on_without(self._fold.partition, lost)
        self._fold.skip_to(lost.last + 1)
