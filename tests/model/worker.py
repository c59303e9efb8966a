"""One worker process, step by step: the real decisions over a simulated Kafka.

Each task is a generator that stops after every effect. What is decided is the product's code
(PartitionFold, Takeover, ChangelogRecovery, the store); Ownership's asyncio is done without.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from contract.changelog import BIRTH_KEY, decode_birth
from contract.device_totals import DEVICE_TOTALS
from kafka_io.batches.chunk import BatchStamp, RecordChunk
from stream_app.changelog import lineage
from stream_app.changelog.continuation import Continuation, StoreDiffers
from stream_app.changelog.fence import SETTLED_SECONDS, WriterFence
from stream_app.changelog.origin import ChangelogFacts, cut_off
from stream_app.changelog.recovery import ChangelogRecovery
from stream_app.changelog.store_records import require_marker
from stream_app.changelog.takeover import Takeover
from stream_app.errors import PartitionRefusal, RestartNeeded
from stream_app.partition.fold_state import Verdict
from tests.model import checker, succession
from tests.model.committing import Committing, Steps
from tests.model.disk import Directory, SimStore, StoreDamaged
from tests.model.kafka_log import KAFKA, Fenced, Unparsable, unparsable

if TYPE_CHECKING:
    from stream_app.store.rocksdb_store import PartitionStore
    from tests.model.world import World

#: What ends the process with 75; anything else is a violation of its own.
ENDINGS = (Fenced, RestartNeeded, StoreDamaged, Unparsable)


class SimWorker(Committing):
    """A worker over all its lives; `start` begins one, `die` ends it."""

    reads_committed = True

    def __init__(self, world: World, number: int) -> None:
        super().__init__(world, number)
        self.directory = Directory()
        self.is_alive = False
        self.is_paused = False
        self._forget()

    def _forget(self) -> None:
        self.forget_commits()
        self.generation = -1
        self.committing: dict[int, Steps] = {}
        self.group_request: tuple[int, dict[int, int]] | None = None
        self.fails_next_fold = False
        #: How far from its position the next fetches of a partition begin, by mistake.
        self.next_shifts: dict[int, list[int]] = {}
        #: The end of the changelog that is read just now.
        self._recovers_to: dict[int, int] = {}
        self._main: Steps | None = None
        self._tasks: list[Steps] = []

    # The process

    def start(self) -> None:
        """Join the group and take over what it assigns."""
        self.is_alive = True
        self.world.group.join(self.number)
        self._main = self._take_over()

    def die(self) -> None:
        """End at once; only the directory stays."""
        self.world.late += self.in_flight.values()
        self.is_alive = self.is_paused = False
        self._forget()

    @property
    def width(self) -> int:
        """How many tasks run side by side."""
        return 1 if self._main is not None else len(self._tasks)

    def step(self, pick: int) -> str:
        """Let one task go on to its next stop; returns its name."""
        if not self.is_alive:
            self.start()
            return "started"
        try:
            if self._main is None:
                tasks = self._tasks
                name = next(tasks[pick % len(tasks)])
                if name == "idle":
                    # Of two that have nothing to do, the second one's turn is the last.
                    name = next(tasks[(pick + 1) % len(tasks)])
                return name
            name = next(self._main, "")
            if not name:
                self._main = None
            return name
        except ENDINGS as error:
            self.die()
            return f"ended: {type(error).__name__}"

    def is_writing(self, transactional_id: str) -> bool:
        """Tell whether a transaction may be this worker's."""
        return any(w.transactional_id == transactional_id for w in self.writers.values())

    def is_settled(self, generation: int) -> bool:
        """Tell whether it works in this generation and has nothing left to do."""
        return (
            self._main is None
            and self.is_alive
            and self.generation == generation
            and not self.committing
            and not self.refusals
            and not any(t.fold.pending.events for t in self.takeover.taken.values())
        )

    # Taking over

    def _take_over(self) -> Steps:
        group = self.world.group
        while True:
            generation, partitions = group.assigned(self.number)
            self._forget_partitions()
            self.generation = generation
            yield "joined"
            yield from self.take(partitions)
            if group.generation == generation:
                break
        self.check_readings(partitions)
        self.positions = self.seek_offsets()
        self._tasks = [self._heartbeat(), self._commit_to_group()]
        for partition in partitions:
            self._tasks += [self._agent(partition), self._pipe(partition)]
        yield "sought"

    def _forget_partitions(self) -> None:
        self.takeover = Takeover(DEVICE_TOTALS, self.world.expected_birth)
        self.writers = {}
        self.fences = {}
        self.is_ending = set()
        #: Which offsets the last reading of each changelog was to read.
        self.last_read: dict[int, range] = {}
        self._tasks = []
        self.committing = {}
        self.waiting = set()
        #: Why partitions are set aside once what is folded is committed.
        self.refusals: dict[int, PartitionRefusal] = {}

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
            self.prove(world.changelogs[partition].leader)
            yield "log fenced"
        self.takeover.fenced(
            {p: (self.writers[p].producer_id, self.writers[p].epoch) for p in partitions}
        )

    def fence_log(self, partition: int) -> None:
        for _ in range(2):
            self.world.coordinator.pass_empty(
                self.writers[partition], self.world.changelogs[partition]
            )

    def prove(self, leader: int) -> None:
        """As the probe finds it."""
        self.single_batches._verdicts[leader] = None if leader is KAFKA else "takes older writers"

    def seek_offsets(self) -> dict[int, int]:
        return self.takeover.next_offsets()

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
            succession.check_read(self.world, partition, self.writers[partition], read)

    def recover_again(self, partition: int) -> Steps:
        """Read what a former owner has written meanwhile."""
        yield from self._recover(partition)

    def _recover(self, partition: int) -> Steps:
        bulk = ChangelogRecovery(
            DEVICE_TOTALS, {}, "changelog", self._open_store, self._replaced_among
        )
        log = self.world.changelogs[partition]
        end = log.last_stable_offset()
        if partition in self.writers:
            self.world.reading[self.writers[partition].order, partition] = []
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
        if partition in self.fences:
            last_writer = require_marker(store, partition).writer
            self.fences[partition].continues_at(end, last_writer)

    def _read(
        self, bulk: ChangelogRecovery, store: PartitionStore, partition: int, end: int
    ) -> Steps:
        """Read a changelog into a store."""
        reading = Continuation(DEVICE_TOTALS, store, partition)
        position = reading.start
        self.last_read[partition] = range(position + bool(position), end)
        while position < end:
            chunk = self.world.changelogs[partition].fetch(
                position, 2, read_committed=self.reads_committed
            )
            assert chunk is not None
            if held := reading.unproven(chunk.records):
                with suppress(StopIteration):
                    bulk._require_readings(partition, held).send(None)
            reading.write(chunk.records)
            position = chunk.next_offset
            yield "some recovered"
        reading.end()

    async def _replaced_among(self, counted: Mapping[int, BatchStamp]) -> Mapping[int, object]:
        found = {p: self.replaced(p, stamp) for p, stamp in counted.items()}
        return {p: refusal for p, refusal in found.items() if refusal is not None}

    def recovers_to(self, partition: int, otherwise: int) -> int:
        """Return up to where it reads a changelog just now."""
        return self._recovers_to.get(partition, otherwise)

    def _open_store(self, partition: int, fresh: bool) -> SimStore:
        if fresh:
            checker.check_set_aside(self.world, partition, self.directory.disks[partition])
        return self.directory.open(partition, fresh)

    def check_readings(self, partitions: list[int]) -> None:
        """As Ownership does: are they the ones that were counted, and all there?"""
        for partition in partitions:
            if partition in self.takeover.taken:
                self.compare_readings(partition)
        ends = {p: self.world.readings[p].end_offset for p in partitions}
        self.takeover.check_positions(dict.fromkeys(partitions, 0), ends)
        for partition, taken in self.takeover.taken.items():
            if partition in partitions:
                checker.check_lineage(self.world, partition, taken.fold.marker)

    def compare_readings(self, partition: int) -> None:
        """Refuse a partition whose readings are others than were counted."""
        refusal = self.replaced(partition, self.takeover.taken[partition].fold.folded_batch)
        if refusal is not None:
            self.takeover.refuse(refusal)

    def replaced(self, partition: int, counted: BatchStamp | None) -> PartitionRefusal | None:
        """As Lineage.refusals does."""
        log = self.world.readings[partition]
        if counted is not None and counted.last_offset >= log.end_offset:
            return cut_off(partition, counted.last_offset, log.end_offset)
        found = counted and log.stamp_at(counted.last_offset)
        if counted is None or found is None or found.is_same(counted):
            return None
        return lineage.refusal(partition, counted, found)

    # Letting go

    def _heartbeat(self) -> Steps:
        group = self.world.group
        while True:
            if group.generation != self.generation:
                self._main = self._rebalance()
            yield "heartbeat"

    def _rebalance(self) -> Steps:
        for running in list(self.committing.values()):
            # Nothing to finish where Kafka refuses it: nothing of it will be seen.
            with suppress(PartitionRefusal):
                yield from running
        self.world.group.commit(self.generation, self._applied())
        yield "released"
        if self.number not in self.world.group.members:
            self.world.group.join(self.number)
        yield from self._take_over()

    def _applied(self) -> dict[int, int]:
        return {p: self.group_offset(p) for p in self.takeover.taken}

    def group_offset(self, partition: int) -> int:
        return self.takeover.taken[partition].fold.marker.applied_offset + 1

    def _commit_to_group(self) -> Steps:
        while True:
            self.group_request = (self.generation, self._applied())
            yield "group commit sent"
            self.world.group.commit(*self.group_request)
            self.group_request = None
            yield "group committed"

    # Working

    def _agent(self, partition: int) -> Steps:
        log = self.world.readings[partition]
        while True:
            if partition not in self.takeover.taken:
                yield "idle"
                continue
            position, most_batches = self.positions[partition], 1 + (self.world.clock & 3)
            if position > log.end_offset:
                # Out of range, for which aiokafka begins anew.
                position = self.positions[partition] = 0
            chunk = log.fetch(position, most_batches)
            if chunk is None:
                yield "idle"
                continue
            if shifts := self.next_shifts.get(partition):
                position = min(max(0, position + shifts.pop()), chunk.next_offset - 1)
                chunk = log.fetch(position, most_batches)
                assert chunk is not None
            self.positions[partition] = chunk.next_offset
            if self.fails_next_fold:
                self.fails_next_fold = False
                chunk._batches = unparsable()
            yield "fetched"
            if partition not in self.waiting:
                self.accept(partition, chunk)
            yield "folded"

    def accept(self, partition: int, chunk: RecordChunk) -> None:
        """As PartitionPipe.add does."""
        if partition not in self.takeover.taken or partition in self.refusals:
            return
        fold = self.takeover.taken[partition].fold
        if fold.needs_proof(chunk):
            refusal = self.replaced(partition, fold.folded_batch)
            if refusal is not None:
                self.refusals[partition] = refusal
                return
        verdict = fold.accept(chunk)
        if verdict is Verdict.GAP:
            self.seek_back(partition, fold.next_offset)
        elif verdict is not Verdict.REDELIVERED:
            fold.pending.events.append(chunk)

    def seek_back(self, partition: int, offset: int) -> None:
        self.positions[partition] = offset

    def _pipe(self, partition: int) -> Steps:
        while True:
            if partition not in self.takeover.taken:
                yield "idle"
                continue
            fold = self.takeover.taken[partition].fold
            if not fold.pending.events:
                if partition in self.refusals:
                    self.takeover.refuse(self.refusals.pop(partition))
                    yield "set aside"
                else:
                    yield "idle"
                continue
            applied_offset = fold.folded_offset
            taken = fold.take()
            self.committing[partition] = running = self.commit(partition, taken, applied_offset)
            try:
                yield from running
            except PartitionRefusal:
                yield from self._retake(partition)
            self.committing.pop(partition, None)

    def _retake(self, partition: int) -> Steps:
        """As Ownership does with a partition whose commit Kafka has refused."""
        self.committing.pop(partition, None)
        self.waiting.add(partition)
        while self.world.quarantine_refuses:
            yield "waits"
        self.refusals.pop(partition, None)
        yield from self.take([partition])
        self.check_readings([partition])
        self.waiting.discard(partition)
        self.positions |= self.takeover.next_offsets()
