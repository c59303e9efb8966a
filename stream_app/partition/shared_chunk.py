"""Folds a chunk into every view of its partition: parsed, decoded and validated once.

Slice by slice, and each slice into all views while it is in the processor's cache: what is held
in memory is one slice, however many views there are. Most slices are folded once for all views
too: to fold a reading costs as much as to decode it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from contract.decoding import Reading, Rejected, decode_readings
from contract.quarter_sums import QuarterSums, fold_quarter
from contract.view import View
from kafka_io.batches.chunk import Record, RecordChunk, UnreadableBatch
from stream_app.partition.pending import Pending


class Slice(NamedTuple):
    """Some thousand records of a chunk, and what they say; `rejected` by place in `records`."""

    records: list[Record]
    readings: list[Reading]
    rejected: list[Rejected]

    def after(self, offset: int) -> Slice:
        """Return what follows an offset, without a second look at the values."""
        first = sum(record.offset <= offset for record in self.records)
        if not first:
            return self
        rejected = [Rejected(r.place - first, r.error) for r in self.rejected if r.place >= first]
        valid_before = first - (len(self.rejected) - len(rejected))
        return Slice(self.records[first:], self.readings[valid_before:], rejected)


class Folding(Protocol):
    """What takes slices: the fold of one view."""

    @property
    def view(self) -> View:
        """What it folds into."""

    @property
    def pending(self) -> Pending:
        """Where cells are added to before it is taken."""

    @property
    def next_offset(self) -> int:
        """The source offset that has to come next."""

    cells: SharedCells | None

    def add(self, some: Slice, chunk: RecordChunk, *, in_cells: bool) -> None:
        """Fold what is not folded of a slice; `in_cells`: its readings are in `cells`."""

    def end(self, chunk: RecordChunk, damage: UnreadableBatch | None) -> None:
        """Note that all of the chunk is folded, or all before a batch that cannot be read."""


class SharedCells:
    """Readings that are folded once for several folds; each has them added before it is taken.

    A cell stands for many readings where they come in order of time. Others are left to each
    fold: of those there would be as many cells as readings.
    """

    def __init__(self, folds: Sequence[Folding]) -> None:
        """Begin empty, for folds that have the same readings next."""
        self.folds = folds
        self._cells = QuarterSums()

    def __len__(self) -> int:
        """Return the number of cells."""
        return len(self._cells)

    def add(self, some: Slice) -> bool:
        """Fold what is not folded of a slice, or nothing; tells which."""
        next_offset = self.folds[0].next_offset
        if some.records[0].offset < next_offset:
            some = some.after(next_offset - 1)
        return fold_quarter(some.readings, self._cells)

    def settle(self) -> None:
        """Add all to what is pending of each fold."""
        cells, self._cells = self._cells, QuarterSums()
        for fold in self.folds:
            if fold.view.add_cells is not None:
                fold.view.add_cells(cells, fold.pending.deltas)


def _cells_of(folds: Sequence[Folding]) -> SharedCells | None:
    """Return what the folds share that can, and have the same readings next."""
    sharing = [fold for fold in folds if fold.view.add_cells is not None]
    if len(sharing) < 2 or len({fold.next_offset for fold in sharing}) > 1:
        return None
    cells = sharing[0].cells
    if cells is None or cells.folds != sharing:
        cells = SharedCells(sharing)
        for fold in sharing:
            if fold.cells is not None:
                fold.cells.settle()
            fold.cells = cells
    return cells


def fold_together(folds: Sequence[Folding], chunk: RecordChunk) -> UnreadableBatch | None:
    """Fold a chunk, which reaches what each fold wants next; returns what cannot be read of it."""
    if not folds:
        return None
    damage = None
    cells = _cells_of(folds)
    try:
        for records in chunk.slices(min(fold.next_offset for fold in folds)):
            some = Slice(records, *decode_readings([record.value for record in records]))
            sharing = cells.folds if cells is not None and cells.add(some) else ()
            for fold in folds:
                fold.add(some, chunk, in_cells=fold in sharing)
    except UnreadableBatch as found:
        damage = found
    for fold in folds:
        fold.end(chunk, damage)
    return damage
