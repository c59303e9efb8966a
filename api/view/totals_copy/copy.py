"""The reader's copy of a view `device_totals`: written by one, read in snapshots by many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from api.view.copy.commit import Commit
from api.view.copy.reader_copy import ReaderCopy
from api.view.stored_total import RANK, StoredTotal, with_part
from api.view.totals_copy.layout import FORMAT, Databases
from api.view.totals_copy.places import Places
from api.view.totals_copy.snapshot import TotalsSnapshot


class TotalsCopy(ReaderCopy[TotalsSnapshot]):
    """The copy of totals."""

    format = FORMAT
    databases = Databases

    def __init__(self, *arguments: Any, **named: Any) -> None:
        """Wrap an open environment; `open` makes one."""
        super().__init__(*arguments, **named)
        self._places = Places()

    def _snapshot_of(self, transaction: Any, applied: Sequence[int]) -> TotalsSnapshot:
        return TotalsSnapshot(transaction, self._databases, self._places, applied)

    def _forget(self, transaction: Any) -> None:
        self._places = Places()

    def _apply(self, transaction: Any, commits: Sequence[Commit]) -> None:
        parts: dict[int, dict[bytes, bytes | None]] = {}
        for commit in commits:
            parts.setdefault(commit.partition, {}).update(commit.rows)
        for partition, changed in parts.items():
            self._put(transaction, partition, changed)

    def _put(self, transaction: Any, partition: int, parts: Mapping[bytes, bytes | None]) -> None:
        """Write the part-totals of a partition, and move what they move in the order of totals."""
        # In the order of the keys: neighbours share pages.
        devices = sorted(parts)
        rows = transaction.cursor(db=self._databases.rows)
        stored: dict[bytes, StoredTotal] = dict(rows.getmulti(devices))
        by_total = self._databases.by_total
        new: list[tuple[bytes, StoredTotal]] = []
        moved: list[tuple[bytes, bytes]] = []
        for device in devices:
            part = parts[device]
            assert part is not None, "no row of this view is ever removed"
            before = stored.get(device)
            after = with_part(before, partition, part)
            new.append((device, after))
            if before is None or not after.startswith(before[:RANK]):
                if before is not None:
                    transaction.delete(before[:RANK] + device, db=by_total)
                moved.append((after[:RANK] + device, b""))
        rows.putmulti(new)
        transaction.cursor(db=by_total).putmulti(sorted(moved))
