"""What keeps two views of a partition apart, and each exact: taken away ONE at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from contract.device_totals import DEVICE_TOTALS
from contract.energy_series import ENERGY_SERIES
from contract.quarter_sums import QuarterSums
from kafka_io.batches.chunk import RecordChunk, UnreadableBatch
from stream_app.changelog.store_records import require_marker
from stream_app.changelog.takeover import Taken
from stream_app.ownership import partition_of_views
from stream_app.ownership.all_views import AllViews
from stream_app.ownership.partition_of_views import PartitionOfViews
from stream_app.ownership.source import SharedSource
from stream_app.partition.fold_state import PartitionFold
from stream_app.partition.shared_chunk import SharedCells, Slice, fold_together
from tests.model.committing import Steps
from tests.model.holding import SimHolding
from tests.model.seeded_bugs import Bug, whole, world_with
from tests.model.worker import SimWorker
from tests.model.world import TwoViews


class SharesAMarker(SimHolding):
    """Goes on from the first view's marker, where that is there first."""

    def _recover(self, partition: int) -> Steps:
        yield from super()._recover(partition)
        first = self.world.workers[self.number].holdings[0].takeover.taken
        if partition in first and partition in self.takeover.taken:
            store, fold = self.takeover.taken[partition]
            marker = require_marker(first[partition].store, partition)
            shared = PartitionFold(self.view, partition, marker, fold._writer)
            self.takeover.taken[partition] = Taken(store, shared)


class BeginsWithTheFaster(SimWorker):
    """Reads from where the view is that is furthest."""

    def seek_offsets(self) -> dict[int, int]:
        positions = {p: max(self.views.next_offsets(p)) for p in self.views.positions()}
        for partition, offset in positions.items():
            for processor in self.processors(partition):
                processor.fold.skip_to(offset)
        return positions


def _first_alone_after_a_takeover(
    folds: Sequence[PartitionFold], chunk: RecordChunk
) -> UnreadableBatch | None:
    new = all(fold.marker.writer != fold._writer for fold in folds)
    damage = fold_together(folds[:1] if new else folds, chunk)
    for fold in folds[1:] if new else ():
        fold.end(chunk, damage)
    return damage


def _settle_for_one(self: SharedCells) -> None:
    cells, self._cells = self._cells, QuarterSums()
    fold = self.folds[0]
    fold.view.add_cells(cells, fold.pending.deltas)


def _settle_for_each(self: SharedCells) -> None:
    for fold in self.folds:
        fold.view.add_cells(self._cells, fold.pending.deltas)


async def _fold_by_the_first(self: PartitionOfViews, chunk: RecordChunk) -> bool:
    wanted = [processor for processor in self._processors if await processor.wants(chunk)]
    verdict = wanted[0].fold.verdict(chunk) if wanted else None
    if verdict is None:
        return False
    damage = fold_together([p.fold for p in wanted if verdict.is_folded], chunk)
    self._have_folded = [p for p in wanted if await p.follow(chunk, verdict, damage)]
    return bool(self._have_folded)


def _acknowledge_for_each(self: PartitionOfViews, acknowledge: Callable[[], Any]) -> None:
    for processor in self._have_folded:
        processor.acknowledge_once_committed(acknowledge)


def _acknowledge_for_the_first(self: PartitionOfViews, acknowledge: Callable[[], Any]) -> None:
    self._have_folded[0].acknowledge_once_committed(acknowledge)


async def _has_room_in_all(self: PartitionOfViews) -> bool:
    return all([await processor.has_room() for processor in self._processors])


def _of_the_faster(self: AllViews, partition: int) -> int | None:
    return max((each.applied_offset + 1 for each in self._processors(partition)), default=None)


def _of_who_works(self: AllViews, partition: int) -> int | None:
    return min((each.applied_offset + 1 for each in self._processors(partition)), default=None)


def _idle_in_one(self: AllViews) -> list[int]:
    partitions = {p for owned in self._owned for p in owned.partitions()}
    return sorted(p for p in partitions if len(self.next_offsets(p)) < len(self._owned))


async def _pause_for_all(self: SharedSource, partition: int) -> None:
    await self._source.pause(partition)


def _two(name: str, *patches: tuple[Any, str, Any]) -> Bug:
    return Bug(name, TwoViews, patches)


TWO_VIEWS = [
    Bug("views share a marker", world_with(SharesAMarker, base=TwoViews)),
    _two("views share a writer", (ENERGY_SERIES, "has_bare_ids", True)),
    Bug("begin with the faster view", world_with(worker=BeginsWithTheFaster, base=TwoViews)),
    _two(
        "one view alone after a takeover",
        (partition_of_views, "fold_together", _first_alone_after_a_takeover),
    ),
    _two("a chunk judged for all by one", (PartitionOfViews, "fold_chunk", _fold_by_the_first)),
    _two("slices not cut for the view ahead", (Slice, "after", whole)),
    _two("cells added to one view", (SharedCells, "settle", _settle_for_one)),
    _two("cells added again", (SharedCells, "settle", _settle_for_each)),
    _two("quarantine written by both", (ENERGY_SERIES, "quarantines", True)),
    _two(
        "quarantine written by another view",
        (ENERGY_SERIES, "quarantines", True),
        (DEVICE_TOTALS, "quarantines", False),
    ),
    _two(
        "acknowledged for each view",
        (PartitionOfViews, "acknowledge_once_committed", _acknowledge_for_each),
    ),
    _two(
        "acknowledged for one view",
        (PartitionOfViews, "acknowledge_once_committed", _acknowledge_for_the_first),
    ),
    _two("group shown the faster view", (AllViews, "next_offset", _of_the_faster)),
    _two("group shown beyond a view set aside", (AllViews, "next_offset", _of_who_works)),
    _two("a view set aside holds up the other", (PartitionOfViews, "has_room", _has_room_in_all)),
    _two("paused for a view set aside", (SharedSource, "pause", _pause_for_all)),
    _two("paused for a view refused at a takeover", (AllViews, "idle", _idle_in_one)),
]
