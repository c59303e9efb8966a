"""All views of the version together, as Faust, agent, `/ready` and watchdog see them.

Each view has its own changelog, writers, stores and clock, and takes over and releases by itself
(assignment.py). What they share is the group's partitions and the readings: they are fetched from
the smallest offset that a view wants next, and each view cuts off what it has.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from typing import Any, NamedTuple

from contract.view import View
from stream_app import metrics
from stream_app.ownership.assignment import Ownership
from stream_app.ownership.partition_of_views import PartitionOfViews
from stream_app.ownership.processor import PartitionProcessor
from stream_app.ownership.source import SharedSource, Source

#: Old rows are rolled up with commits that happen anyway, and this often where there are none.
ROLL_UP_SECONDS = 1.0


class Applied(NamedTuple):
    """How far the view that is furthest behind has come; generation and offset -1: nobody works."""

    generation: int
    offset: int


async def _together(steps: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Take a step in each view, at the same time; ends when all have, also when cancelled."""
    async with asyncio.TaskGroup() as group:
        for step in steps:
            group.create_task(step)


class AllViews:
    """What this worker has of each view."""

    def __init__(self, owned: Mapping[View, Ownership]) -> None:
        """Begin with the views of the version, the one that writes the quarantine first."""
        self._owned = list(owned.values())
        self.of = owned

    # Taking over and releasing, as in assignment.py.

    async def fence(self, partitions: Iterable[int]) -> None:
        """Start new writers for each partition: nobody else can commit any more."""
        partitions = list(partitions)
        await _together(owned.fence(partitions) for owned in self._owned)
        metrics.FENCES.inc()

    async def recover(self, partitions: list[int]) -> None:
        """Bring the stores up to their changelogs."""
        await _together(owned.recover(partitions) for owned in self._owned)

    def begin(self, generation: int, source: Source) -> None:
        """Start this generation; what was taken over waits for `check_positions`."""
        shared = SharedSource(source, self.next_offsets)
        for owned in self._owned:
            owned.begin(generation, shared)

    def check_positions(self, first: dict[int, int], end: dict[int, int]) -> None:
        """Compare the markers with the source, and begin to work on those that fit."""
        all_lack_from = self.positions()
        for owned in self._owned:
            owned.check_positions(first, end, all_lack_from)

    async def release_after(self, commit: Callable[[], Awaitable[None]]) -> None:
        """Finish what runs, let the group see how far it came, then release all partitions."""
        await _together(owned.finish() for owned in self._owned)
        if any(owned.processors for owned in self._owned):
            await commit()
        await self.release()

    async def release(self) -> None:
        """Release all partitions: no store is written and nothing is committed after this."""
        await _together(owned.release() for owned in self._owned)

    # What there is.

    @property
    def is_recovering(self) -> bool:
        """Return whether some view is not taken over yet."""
        return any(owned.is_recovering for owned in self._owned)

    def positions(self) -> dict[int, int]:
        """Return the next source offset of each partition that a view works on."""
        found: dict[int, int] = {}
        for owned in self._owned:
            for partition, offset in owned.positions().items():
                found[partition] = min(offset, found.get(partition, offset))
        return found

    def next_offset(self, partition: int) -> int | None:
        """Return what the group may show as committed: everything before it is applied.

        None where a view that has the partition is not at work on it: how far that one is, is not
        known here.
        """
        owners = [owned for owned in self._owned if partition in owned.partitions()]
        processors = self._processors(partition)
        if not processors or len(processors) < len(owners):
            return None
        return min(processor.applied_offset + 1 for processor in processors)

    def next_offsets(self, partition: int) -> list[int]:
        """Return what the views that work on a partition want next of it."""
        return [
            processor.fold.next_offset
            for processor in self._processors(partition)
            if processor.refusal is None
        ]

    def partition(self, partition: int, generation: int) -> PartitionOfViews | None:
        """Return a partition that is worked on; None for what was fetched before a rebalance."""
        processors = [
            processor
            for processor in self._processors(partition)
            if processor.generation == generation
        ]
        if not processors:
            metrics.CHUNKS_STALE.inc()
            return None
        return PartitionOfViews(processors)

    async def roll_up(self) -> None:
        """Have old rows added up until cancelled, even where nothing comes."""
        while True:
            await asyncio.sleep(ROLL_UP_SECONDS)
            for owned in self._owned:
                for processor in owned.processors.values():
                    processor.commit_when_due()

    def idle(self) -> list[int]:
        """Return the partitions that no view works on."""
        partitions = {p for owned in self._owned for p in owned.partitions()}
        return sorted(p for p in partitions if not self.next_offsets(p))

    def applied(self) -> dict[int, Applied]:
        """Return how far each partition has come in the views that are not set aside.

        A partition that is neither worked on nor set aside has nothing applied.
        """
        found: dict[int, Applied] = {}
        for owned in self._owned:
            here = {p: Applied(-1, -1) for p in owned.forgotten()}
            for partition, processor in list(owned.processors.items()):
                if processor.refusal is None:
                    here[partition] = Applied(processor.generation, processor.applied_offset)
            for partition, applied in here.items():
                other = found.get(partition, applied)
                found[partition] = min(applied, other, key=lambda each: each.offset)
        return found

    def applied_offsets(self) -> dict[View, dict[int, int]]:
        """Return how far each view is, in partitions that are set aside too; from any thread."""
        return {view: owned.applied_offsets() for view, owned in self.of.items()}

    def refuses_all(self) -> bool:
        """Return whether a person has to act before this worker can work on any of its totals.

        The view that writes the quarantine tells: without it nothing is counted. Another view that
        refuses everything stops nobody.
        """
        return self._owned[0].refuses_all()

    def not_ready_because(self) -> list[str]:
        """Return why this worker does not work on all it should, for people; empty: ready."""
        if self.is_recovering:
            return ["recovering from the changelog"]
        return [reason for owned in self._owned for reason in owned.not_ready_because()]

    def _processors(self, partition: int) -> list[PartitionProcessor]:
        return [
            processor for owned in self._owned if (processor := owned.processors.get(partition))
        ]
