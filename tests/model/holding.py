"""A worker's partitions of one view, from fence to processor; as stream_app/ownership has them.

What is decided is the product's code; Ownership's asyncio is done without.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from contract.changelog import BIRTH_KEY, decode_birth
from kafka_io.batches.chunk import BatchStamp
from stream_app.changelog.continuation import Continuation, StoreDiffers
from stream_app.changelog.fence import SETTLED_SECONDS, WriterFence
from stream_app.changelog.origin import ChangelogFacts
from stream_app.changelog.recovery import ChangelogRecovery
from stream_app.changelog.store_records import require_marker
from stream_app.changelog.takeover import Takeover
from stream_app.errors import PartitionRefusal
from stream_app.ownership.holdings import Holdings
from stream_app.ownership.processor import PartitionProcessor
from stream_app.ownership.source import Source
from stream_app.partition.commit_policy import Backlog
from tests.model import checker, succession
from tests.model.committing import Committing, Steps
from tests.model.disk import Directory, SimStore
from tests.model.kafka_log import KAFKA
from tests.model.source import SimProcessor, replaced, stepped

if TYPE_CHECKING:
    from stream_app.store.rocksdb_store import PartitionStore
    from tests.model.changelogs import Changelogs
    from tests.model.world import World

#: Nothing waits for more readings, and nothing is too much: each commit has its own moments.
_BACKLOG = Backlog(1 << 30)


def _has_old_rows(processor: PartitionProcessor) -> bool:
    """As PartitionProcessor.commit_when_due asks."""
    roll_up = processor.fold.roll_up
    return roll_up is not None and processor.refusal is None and roll_up.is_due()


async def _nobody_is_told(_: PartitionRefusal) -> None:
    raise AssertionError("`work` tells of refusals")


class SimHolding(Holdings, Committing):
    """What Ownership has of a view, in one generation after the other."""

    reads_committed = True

    def __init__(self, world: World, number: int, changelogs: Changelogs) -> None:
        Committing.__init__(self, world, number, changelogs)
        self.directory = Directory()
        self.forget_partitions()

    def forget_partitions(self) -> None:
        """Let everything go: nothing is written or committed after this."""
        keep_days = self.world.keep_days
        Holdings.__init__(self, Takeover(self.view, self.changelogs.birth, keep_days=keep_days))
        self.writers = {}
        self.fences = {}
        self.is_ending = set()
        #: Commits that run, by partition.
        self.committing: dict[int, Steps] = {}
        #: Partitions that are tried again, or will be.
        self._retaken: set[int] = set()
        #: Which offsets the last reading of each changelog was to read.
        self.last_read: dict[int, range] = {}
        #: The end of the changelog that is read just now.
        self._recovers_to: dict[int, int] = {}
        self._begun: tuple[int, Source] | None = None

    @property
    def takeover(self) -> Takeover:
        return self._takeover

    def is_settled(self) -> bool:
        """Tell whether nothing is left to commit or to try, and nobody has to hear of a refusal."""
        return not (self.committing or self._retaken) and all(
            processor.fold.folded_offset == processor.applied_offset
            and (processor.refusal is None or partition in self.takeover.refused)
            and not _has_old_rows(processor)
            for partition, processor in self.processors.items()
        )

    # Taking over

    def take(self, partitions: list[int]) -> Steps:
        """Fence all, then recover all."""
        yield from self.fence(partitions)
        yield from self.recover(partitions)

    def fence(self, partitions: list[int]) -> Steps:
        """As Claims.fence and TransactionWriter.start do."""
        world = self.world
        for partition in partitions:
            writer = world.coordinator.init(self.transactional_id(partition))
            self.writers[partition] = writer
            fence = WriterFence(self.single_batches, clock=world.now)
            self.fences[partition] = fence
            fence.started((writer.producer_id, writer.epoch))
            self.is_ending.discard(partition)
            yield "fenced"
            began = fence.now()
            self.fence_log(partition)
            fence.confirmed(began)
            self.prove(self.changelogs[partition].leader)
            yield "log fenced"
        self.takeover.fenced(
            {p: (self.writers[p].producer_id, self.writers[p].epoch) for p in partitions}
        )

    def fence_log(self, partition: int) -> None:
        for _ in range(2):
            self.world.coordinator.pass_empty(self.writers[partition], self.changelogs[partition])

    def prove(self, leader: int) -> None:
        """As the probe finds it."""
        self.single_batches._verdicts[leader] = None if leader is KAFKA else "takes older writers"

    def recover(self, partitions: list[int]) -> Steps:
        """As Claims.recover does: again, after a while, what a former owner can still write to."""
        open_to = []
        for partition in partitions:
            yield from self._recover(partition)
            if self._is_open_to_a_former(partition):
                open_to.append(partition)
            else:
                self._has_read_for_good(partition)
        if not open_to:
            return
        yield "waits for a former owner"
        self.world.pass_time(SETTLED_SECONDS)
        for partition in open_to:
            yield from self.recover_again(partition)
            self._has_read_for_good(partition)

    def _is_open_to_a_former(self, partition: int) -> bool:
        fence, taken = self.fences.get(partition), self.takeover.taken.get(partition)
        if fence is None or taken is None:
            return False
        return fence.is_open_to(require_marker(taken.store, partition).writer)

    def _has_read_for_good(self, partition: int) -> None:
        """Tell that what was read is what the partition is worked on with; not if it is refused."""
        if partition in self.writers and partition in self.takeover.taken:
            read = self.last_read[partition]
            succession.check_read(self.changelogs, partition, self.writers[partition], read)

    def recover_again(self, partition: int) -> Steps:
        """Read what a former owner has written meanwhile."""
        yield from self._recover(partition)

    def _recover(self, partition: int) -> Steps:
        bulk = ChangelogRecovery(self.view, {}, "changelog", self._open_store, self._replaced_among)
        log = self.changelogs[partition]
        end = log.last_stable_offset()
        if partition in self.writers:
            self.changelogs.reading[self.writers[partition].order, partition] = []
        birth = next(r.value or b"" for b in log.batches for r in b.records if r.key == BIRTH_KEY)
        self._recovers_to = {partition: end}
        yield "end and birth read"
        store = bulk._trusted_store(ChangelogFacts(partition, birth, end))
        refused: dict[int, PartitionRefusal] = {}
        with bulk._refusals(partition, refused):
            try:
                yield from self._read(bulk, store, partition, end)
            except StoreDiffers:
                store = self._open_store(partition, True)
                yield from self._read(bulk, store, partition, end)
        self._recovers_to = {}
        if partition in refused:
            self.takeover.refuse(refused[partition])
            return
        self.takeover.recovered(partition, store, decode_birth(birth))
        self._go_by_the_calendar(partition)
        if partition in self.fences:
            last_writer = require_marker(store, partition).writer
            self.fences[partition].continues_at(end, last_writer)

    def _go_by_the_calendar(self, partition: int) -> None:
        taken = self.takeover.taken.get(partition)
        if taken is not None and taken.fold.roll_up is not None:
            taken.fold.roll_up._clock = self.world.calendar

    def _read(
        self, bulk: ChangelogRecovery, store: PartitionStore, partition: int, end: int
    ) -> Steps:
        """Read a changelog into a store."""
        reading = Continuation(self.view, store, partition)
        position = reading.start
        self.last_read[partition] = range(position + bool(position), end)
        while position < end:
            chunk = self.changelogs[partition].fetch(
                position, 2, read_committed=self.reads_committed
            )
            if held := reading.unproven(chunk.records):
                yield from stepped(bulk._require_readings(partition, held))
            reading.write(chunk.records)
            position = chunk.next_offset
            yield "some recovered"
        reading.end()

    async def _replaced_among(self, counted: Mapping[int, BatchStamp]) -> Mapping[int, object]:
        return await self.world.lineage.refusals(counted)

    def recovers_to(self, partition: int, otherwise: int) -> int:
        """Return up to where it reads a changelog just now."""
        return self._recovers_to.get(partition, otherwise)

    def _open_store(self, partition: int, fresh: bool) -> SimStore:
        if fresh:
            disk = self.directory.disks[partition]
            checker.check_set_aside(self.world, self.changelogs, partition, disk)
        return self.directory.open(partition, fresh)

    def begin(self, generation: int, source: Source) -> None:
        """Go on in this generation; what was taken over waits for `check_positions`."""
        self._begun = generation, source

    def check_positions(
        self,
        first: Mapping[int, int],
        end: Mapping[int, int],
        all_lack_from: Mapping[int, int] | None = None,
    ) -> None:
        """As Ownership does: are the readings those that were counted, and all there?"""
        for partition in first.keys() & self.takeover.taken.keys():
            self.compare_readings(partition)
        self.takeover.check_positions(first, end, all_lack_from)
        for partition, taken in self.takeover.taken.items():
            if partition in first:
                checker.check_lineage(self.world, partition, taken.fold.marker)
        self._open_processors(self.takeover.taken)

    def compare_readings(self, partition: int) -> None:
        """Refuse a partition whose readings are others than were counted."""
        batch = self.takeover.taken[partition].fold.folded_batch
        refusal = replaced(self.world.readings[partition], batch)
        if refusal is not None:
            self.takeover.refuse(refusal)

    def _open_processors(self, partitions: Iterable[int]) -> None:
        assert self._begun is not None
        generation, source = self._begun
        for partition in partitions:
            if partition not in self.processors:
                self.processors[partition] = SimProcessor(
                    self.takeover.taken[partition].fold,
                    self.writers[partition],  # type: ignore[arg-type]
                    self.takeover.taken[partition].store,
                    source,
                    generation=generation,
                    backlog=_BACKLOG,
                    lineage=self.world.lineage,  # type: ignore[arg-type]
                    on_refusal=_nobody_is_told,
                )

    # Working

    def work(self, partition: int) -> Steps:
        """As PartitionProcessor._run does, one task for each partition."""
        while True:
            processor = self.processors.get(partition)
            if processor is None or (
                processor.refusal is not None and partition in self.takeover.refused
            ):
                yield "idle"
            elif processor.fold.folded_offset > processor.applied_offset or _has_old_rows(
                processor
            ):
                self.committing[partition] = running = self.commit(
                    partition,
                    processor.fold.take(),
                    processor.takes_all(),  # type: ignore[attr-defined]
                )
                try:
                    yield from running
                except PartitionRefusal as refusal:
                    del self.committing[partition]
                    self._retaken.add(partition)
                    yield from self.refused(partition, refusal)
                    yield from self._retake(partition)
                    self._retaken.discard(partition)
                self.committing.pop(partition, None)
            elif processor.refusal is not None:
                yield from self.refused(partition, processor.refusal)
            else:
                yield "idle"

    def refused(self, partition: int, refusal: PartitionRefusal) -> Steps:
        """Set a partition aside, for this view."""
        self.processors[partition].set_aside(refusal)
        self.takeover.refuse(refusal)
        yield from stepped(self._begun[1].pause(partition))
        yield "set aside"

    def _retake(self, partition: int) -> Steps:
        """As Ownership does with a partition whose commit Kafka has refused."""
        while self.changelogs.refuses:
            yield "waits"
        source = self._begun[1]
        del self.processors[partition]
        yield from self.take([partition])
        first, end = yield from stepped(source.bounds(partition))
        self.check_positions({partition: first}, {partition: end})
        if processor := self.processors.get(partition):
            yield from stepped(source.resume(partition, processor.fold.next_offset))
