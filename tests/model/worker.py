"""One worker process, step by step: the real decisions over a simulated Kafka.

Each task is a generator that stops after every effect. What is decided is the product's code
(AllViews, PartitionOfViews, Intake, PartitionFold, Takeover, ChangelogRecovery, the store); the
asyncio around it is done without.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from kafka_io.batches.chunk import RecordChunk
from stream_app.errors import PartitionRefusal, RestartNeeded
from stream_app.ownership.all_views import AllViews
from stream_app.ownership.processor import PartitionProcessor
from tests.model.committing import Steps
from tests.model.disk import StoreDamaged
from tests.model.holding import SimHolding
from tests.model.kafka_log import Fenced, Unparsable, unparsable
from tests.model.source import SimSource, stepped
from tests.model.violations import Violation

if TYPE_CHECKING:
    from tests.model.world import World

#: What ends the process with 75; anything else is a violation of its own.
ENDINGS = (Fenced, RestartNeeded, StoreDamaged, Unparsable)


class Acknowledgement:
    """What Faust is told of a chunk. I20: once, when each view that has folded it has it."""

    def __init__(self, offset: int, folded: list[PartitionProcessor]) -> None:
        self._offset, self._folded = offset, folded
        self._is_given = False

    def __call__(self) -> None:
        if self._is_given:
            raise Violation("I20", f"the chunk up to {self._offset} is acknowledged twice")
        self._is_given = True
        for processor in self._folded:
            if processor.applied_offset < self._offset:
                has = f"{processor.fold.view.name} has {processor.applied_offset}"
                raise Violation("I20", f"the chunk up to {self._offset} is acknowledged, {has}")


class SimWorker:
    """A worker over all its lives; `start` begins one, `die` ends it."""

    holding_class: type[SimHolding] = SimHolding

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.number = number
        self.holdings = [self.holding_class(world, number, each) for each in world.views]
        #: As the product sees them, which asks them what it asks Ownership.
        self.views = AllViews({each.view: each for each in self.holdings})  # type: ignore[misc]
        self.is_alive = False
        self.is_paused = False
        self._forget()

    def _forget(self) -> None:
        for holding in self.holdings:
            holding.forget_commits()
        self.generation = -1
        self.source = SimSource(self.world.readings, self.seek)
        self.group_request: tuple[int, dict[int, int]] | None = None
        self.fails_next_fold = False
        self._main: Steps | None = None
        self._forget_partitions()

    # The process

    def start(self) -> None:
        """Join the group and take over what it assigns."""
        self.is_alive = True
        self.world.group.join(self.number)
        self._main = self._take_over()

    def die(self) -> None:
        """End at once; only the directory stays."""
        for holding in self.holdings:
            self.world.late += holding.in_flight.values()
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
        writers = [writer for each in self.holdings for writer in each.writers.values()]
        return any(writer.transactional_id == transactional_id for writer in writers)

    def is_settled(self, generation: int) -> bool:
        """Tell whether it works in this generation and has nothing left to do."""
        return (
            self._main is None
            and self.is_alive
            and self.generation == generation
            and all(each.is_settled() for each in self.holdings if not each.changelogs.refuses)
        )

    # Taking over

    def _take_over(self) -> Steps:
        group = self.world.group
        while True:
            generation, partitions = group.assigned(self.number)
            self._forget_partitions()
            self.generation = generation
            yield "joined"
            # At the same time in the product, where none knows of another.
            turns = self.holdings[:: -1 if self.world.clock & 1 else 1]
            for holding in turns:
                yield from holding.take(partitions)
            if group.generation == generation:
                break
        self.views.begin(generation, self.source)
        ends = {p: self.world.readings[p].end_offset for p in partitions}
        self.views.check_positions(dict.fromkeys(partitions, 0), ends)
        self.source.assign(self.seek_offsets())
        for partition in self.views.idle():
            self.source.paused.add(partition)
        self._tasks = [self._heartbeat(), self._commit_to_group()]
        for partition in partitions:
            self._tasks.append(self._agent(partition))
            self._tasks += [holding.work(partition) for holding in self.holdings]
        yield "sought"

    def _forget_partitions(self) -> None:
        for holding in self.holdings:
            holding.forget_partitions()
        self._tasks: list[Steps] = []

    def seek_offsets(self) -> dict[int, int]:
        return self.views.positions()

    # Letting go

    def _heartbeat(self) -> Steps:
        group = self.world.group
        while True:
            if group.generation != self.generation:
                self._main = self._rebalance()
            yield "heartbeat"

    def _rebalance(self) -> Steps:
        for holding in self.holdings:
            for running in list(holding.committing.values()):
                # Nothing to finish where Kafka refuses it: nothing of it will be seen.
                with suppress(PartitionRefusal):
                    yield from running
        self.world.group.commit(self.generation, self._applied())
        yield "released"
        if self.number not in self.world.group.members:
            self.world.group.join(self.number)
        yield from self._take_over()

    def _applied(self) -> dict[int, int]:
        offsets = {p: self.group_offset(p) for p in self.holdings[0].partitions()}
        return {p: offset for p, offset in offsets.items() if offset is not None}

    def group_offset(self, partition: int) -> int | None:
        return self.views.next_offset(partition)

    def _commit_to_group(self) -> Steps:
        while True:
            self.group_request = (self.generation, self._applied())
            yield "group commit sent"
            self.world.group.commit(*self.group_request)
            self.group_request = None
            yield "group committed"

    # Working

    def _agent(self, partition: int) -> Steps:
        while True:
            chunk = self.source.fetch(partition, 1 + (self.world.clock & 3))
            if chunk is None:
                yield "idle"
                continue
            if self.fails_next_fold:
                self.fails_next_fold = False
                chunk._batches = unparsable()
            yield "fetched"
            yield from self.fold(partition, chunk)
            yield "folded"

    def fold(self, partition: int, chunk: RecordChunk) -> Steps:
        """As the agent does."""
        of_views = self.views.partition(partition, self.generation)
        if of_views is None or not (yield from stepped(of_views.has_room())):
            return
        lacking = [
            processor
            for processor in self.processors(partition)
            if processor.fold.folded_offset < chunk.offset
        ]
        if (yield from stepped(of_views.fold_chunk(chunk))):
            folded = [
                processor for processor in lacking if processor.fold.folded_offset >= chunk.offset
            ]
            of_views.acknowledge_once_committed(Acknowledgement(chunk.offset, folded))
        of_views.commit_when_due()

    def processors(self, partition: int) -> list[PartitionProcessor]:
        """Return the processors of a partition, one for each view that has one."""
        return [
            each.processors[partition] for each in self.holdings if partition in each.processors
        ]

    def seek(self, partition: int, offset: int) -> None:
        self.source.positions[partition] = offset
