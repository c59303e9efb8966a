"""Which partitions of a view this worker owns, and how it takes them over and releases them.

Taking over, in this order, because each step relies on the one before:

1. `fence`: a new transactional writer for each partition; nobody else can commit any more.
2. `recover`: the changelog's end is final now; bring the stores up to it.
3. `begin`, `check_positions`: continue after the marker; the source is sought to marker + 1.

A partition that cannot be worked on is set aside: it stays assigned, the others continue.

`release` finishes the running transaction and drops what is only folded.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from functools import partial

from aiokafka.errors import KafkaError

from contract.changelog import Birth
from contract.view import View
from stream_app import metrics
from stream_app.changelog.claims import Claims
from stream_app.changelog.lineage import Lineage, replaced_among
from stream_app.changelog.origin import LostOffsets
from stream_app.changelog.recovery import ChangelogRecovery
from stream_app.changelog.takeover import Takeover
from stream_app.changelog.writer import TransactionWriter
from stream_app.errors import TRIED_AGAIN, WAITS_FOR_KAFKA, PartitionRefusal, Refusal
from stream_app.ownership import set_aside
from stream_app.ownership.holdings import Holdings
from stream_app.ownership.processor import PartitionProcessor
from stream_app.ownership.set_aside import Retries
from stream_app.ownership.source import Source
from stream_app.partition.commit_policy import Backlog
from stream_app.process.exit import end_process

log = logging.getLogger(__name__)

#: A running transaction that does not end in this time is given up: the process ends.
RELEASE_SECONDS = 30.0


class Ownership(Holdings):
    """Takes partitions over, sets them aside, tries them again and releases them."""

    def __init__(
        self,
        *,
        view: View,
        new_writer: Callable[[int], TransactionWriter],
        recovery: ChangelogRecovery,
        lineage: Lineage,
        confirm_basis: Callable[[], Awaitable[None]],
        nothing_left: Callable[[Refusal], None],
        expected_birth: Birth,
        backlog: Backlog,
        new_processor: Callable[..., PartitionProcessor] = PartitionProcessor,
        accepted: Mapping[int, Collection[LostOffsets]] | None = None,
        keep_days: int = 0,
    ) -> None:
        """Begin with no partition; `keep_days` as in PartitionFold.

        `nothing_left` is called when it can process none of them before a person acts.
        """
        self._view = view
        self._new_processor = new_processor
        self._claims = Claims(new_writer, recovery)
        self._lineage = lineage
        self._confirm_basis = confirm_basis
        self._nothing_left = nothing_left
        self._accepted = accepted or {}
        self._new_takeover = partial(Takeover, view, expected_birth, accepted, keep_days=keep_days)
        self._retries = Retries(self._try_again)
        self._backlog = backlog
        super().__init__(self._new_takeover())
        self._begun: tuple[int, Source] | None = None

    async def fence(self, partitions: Iterable[int]) -> None:
        """Start a new writer for each partition, also for those kept over the rebalance."""
        await self.release()
        self.is_recovering = True
        partitions, takeover = sorted(partitions), self._takeover
        try:
            await self._claims.fence(partitions)
        except Exception as error:
            end_process("fence", error)
        if takeover is self._takeover:
            takeover.fenced(self._claims.identities(partitions))
            log.info("fenced partitions %s of %s", partitions, self._view.name)

    async def recover(self, partitions: list[int]) -> None:
        """Bring the stores up to the changelog, and set aside partitions that do not match it.

        Where the partitions were released since they were fenced, nothing is taken over: the
        rebalance that has begun fences and recovers again.
        """
        takeover = self._takeover
        if not takeover.partitions >= set(partitions):
            log.info("released before they were recovered: partitions %s", partitions)
            return
        try:
            if partitions:
                await self._confirm_basis()
            recovered = await self._claims.recover(partitions)
            replaced = await replaced_among(recovered, self._lineage)
            if takeover is not self._takeover:
                log.info("released while they were recovered: partitions %s", partitions)
                return
            takeover.take(recovered, replaced)
        except Exception as error:
            end_process("recovery", error)

    def begin(self, generation: int, source: Source) -> None:
        """Start this generation; what was fenced and recovered waits for `check_positions`."""
        self._begun = generation, source
        if not self._takeover.taken:
            self._open_processors([])

    def check_positions(
        self,
        first: Mapping[int, int],
        end: Mapping[int, int],
        all_lack_from: Mapping[int, int] | None = None,
    ) -> None:
        """Compare the markers with the source, and open the processors of those that fit."""
        self._takeover.check_positions(first, end, all_lack_from)
        self._open_processors(self._takeover.taken)

    def _open_processors(self, partitions: Iterable[int]) -> None:
        if self._begun is None:
            return
        generation, source = self._begun
        for partition in partitions:
            writer = self._claims.writers.get(partition)
            if writer is None or partition in self.processors:
                continue
            store, fold = self._takeover.taken[partition]
            processor = self._new_processor(
                fold,
                writer,
                store,
                source,
                generation=generation,
                backlog=self._backlog,
                on_refusal=self._set_aside,
                accepted=self._accepted.get(partition, ()),
                lineage=self._lineage,
            )
            self.processors[partition] = processor
            processor.start()
        self.is_recovering = False
        applied = {p: processor.applied_offset for p, processor in self.processors.items()}
        log.info("working on %s of %s", applied, self._view.name)
        self._tell_refused()

    async def _set_aside(self, refusal: PartitionRefusal) -> None:
        """Stop processing a partition; its processor has nothing in flight."""
        takeover = self._takeover
        takeover.refuse(refusal)
        if self._begun is not None:
            await self._begun[1].pause(refusal.partition)
        if takeover is not self._takeover:
            return
        if refusal.reason in TRIED_AGAIN:
            self._retries.plan(refusal.partition)
        self._tell_refused()

    def _tell_refused(self) -> None:
        set_aside.show(self._takeover)
        if self.refuses_all():
            refused = sorted(self._takeover.refused.items())
            whys = (f"{self._takeover.place(each)}: {refusal.what}" for each, refusal in refused)
            self._nothing_left(Refusal("; ".join(whys)))

    async def _try_again(self, partition: int) -> None:
        refusal = self._takeover.refused.get(partition)
        if refusal is None:
            return
        metrics.PARTITIONS_TRIED_AGAIN.labels(refusal.reason).inc()
        try:
            if refusal.reason in WAITS_FOR_KAFKA or partition not in self.processors:
                await self._retake(partition)
            else:
                del self._takeover.refused[partition]
                await self.processors[partition].resume()
        except (KafkaError, OSError, TimeoutError) as error:
            log.info("partition %d: trying again later: %r", partition, error)
            # However far it came: the next try takes it over from the start.
            await self._finish(partition)
            await self._set_aside(refusal)
        except Exception as error:
            end_process(f"partition {partition}, tried again", error)
        set_aside.show(self._takeover)

    async def _retake(self, partition: int) -> None:
        """Take one partition over again, in the order of all takeovers.

        Kafka has refused its commit, so its writer cannot be used again. Another worker may have
        taken over meanwhile, which only the changelog shows.
        """
        takeover, begun = self._takeover, self._begun
        assert begun is not None, "released is cancelled"
        await self._finish(partition)
        await self._claims.give_up([partition])
        await self._claims.fence([partition])
        recovered = await self._claims.recover([partition])
        replaced = await replaced_among(recovered, self._lineage)
        first, end = await begun[1].bounds(partition)
        # From here to its processor without a pause: it is set aside, or it is worked on.
        takeover.fenced(self._claims.identities([partition]))
        takeover.take(recovered, replaced)
        takeover.check_positions({partition: first}, {partition: end})
        self._open_processors([partition] if partition in takeover.taken else [])
        if processor := self.processors.get(partition):
            await begun[1].resume(partition, processor.fold.next_offset)

    async def _finish(self, partition: int) -> None:
        if processor := self.processors.get(partition):
            await asyncio.shield(processor.finish())
            del self.processors[partition]

    async def finish(self) -> None:
        """Finish what runs and begin nothing new; `release` gives the partitions up."""
        await self._retries.cancel()
        try:
            async with asyncio.timeout(RELEASE_SECONDS):
                finishing = (each.finish() for each in self.processors.values())
                await asyncio.gather(*map(asyncio.shield, finishing))
        except Exception as error:
            end_process("release", error)

    async def release(self) -> None:
        """Release all partitions: no store is written and nothing is committed after this."""
        await self._retries.cancel()
        processors, self.processors = self.processors, {}
        set_aside.show_none(self._takeover)
        self._takeover = self._new_takeover()
        self._begun = None
        try:
            async with asyncio.timeout(RELEASE_SECONDS):
                closing = (each.close() for each in processors.values())
                await asyncio.gather(*map(asyncio.shield, closing))
        except Exception as error:
            end_process("release", error)
        await self._claims.give_up(list(self._claims.writers))
