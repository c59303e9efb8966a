"""The reader's copy of a view `energy_series`: written by one, read in snapshots by many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from api.view.copy.commit import Commit
from api.view.copy.reader_copy import ReaderCopy
from api.view.series_copy.kept_sums import KeptSums
from api.view.series_copy.layout import FORMAT, Databases
from api.view.series_copy.snapshot import SeriesSnapshot
from api.view.series_copy.writing import Writing


class SeriesCopy(ReaderCopy[SeriesSnapshot]):
    """The copy of a series."""

    format = FORMAT
    databases = Databases

    def __init__(self, *arguments: Any, **named: Any) -> None:
        """Wrap an open environment; `open` makes one."""
        super().__init__(*arguments, **named)
        self._kept = KeptSums()

    def _apply(self, transaction: Any, commits: Sequence[Commit]) -> None:
        writing = Writing(transaction, self._databases)
        writing.apply(commits)
        self._kept.change(writing.days(), transaction.id())

    def _snapshot_of(self, transaction: Any, applied: Sequence[int]) -> SeriesSnapshot:
        if self._is_shared:
            # Which days the writer has changed is not told.
            self._kept.change_all(transaction.id())
        return SeriesSnapshot(transaction, self._databases, self._kept, applied)

    def _forget(self, transaction: Any) -> None:
        self._kept.change_all(transaction.id())
