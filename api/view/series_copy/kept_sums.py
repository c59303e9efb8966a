"""Sums of periods that were asked for, for whoever asks next: until a day of the period changes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeVar

from api.view.series import Period
from api.view.series_copy.day_header import QUARTERS

#: Of all sums together, of devices or locations; some 150 bytes each.
_KEPT = 200_000

_T = TypeVar("_T")


class _Kept(NamedTuple):
    """Sums as of a transaction."""

    transaction: int
    sums: Sequence[object]


class KeptSums:
    """Shared by all snapshots of a copy in this process, in any thread.

    Transactions are told by LMDB's numbers, which rise with each commit.
    """

    def __init__(self, kept: int = _KEPT) -> None:
        """Begin with nothing; at most so many sums are kept."""
        self._limit = kept
        self._kept: OrderedDict[tuple[str, Period], _Kept] = OrderedDict()
        self._count = 0
        #: The transaction in which a day was last changed, or all of them.
        self._changed: dict[int, int] = {}
        self._all_changed = 0
        self._lock = threading.Lock()

    def change(self, days: Iterable[int], transaction: int) -> None:
        """Note that days change in a transaction: before others can see it."""
        with self._lock:
            self._changed.update(dict.fromkeys(days, transaction))

    def change_all(self, transaction: int) -> None:
        """Note that everything changes in a transaction: before others can see it."""
        with self._lock:
            self._all_changed = max(self._all_changed, transaction)

    def get(
        self, kind: str, period: Period, transaction: int, compute: Callable[[], list[_T]]
    ) -> list[_T]:
        """Return the sums of a period as of a transaction: the kept ones, or as computed now."""
        key = kind, period
        with self._lock:
            found = self._kept.get(key)
            if found is not None and self._last_change(period) <= min(
                found.transaction, transaction
            ):
                self._kept.move_to_end(key)
                return list(found.sums)  # type: ignore[arg-type]  # those of this kind
        sums = compute()
        with self._lock:
            found = self._kept.get(key)
            if found is None or found.transaction < transaction:
                self._keep(key, _Kept(transaction, tuple(sums)))
        return sums

    def _keep(self, key: tuple[str, Period], new: _Kept) -> None:
        old = self._kept.pop(key, None)
        self._count += len(new.sums) - (0 if old is None else len(old.sums))
        self._kept[key] = new
        while self._count > self._limit:
            _, oldest = self._kept.popitem(last=False)
            self._count -= len(oldest.sums)

    def _last_change(self, period: Period) -> int:
        """Return the last transaction that changed a day of a period."""
        days = range(period.start // QUARTERS, (period.end - 1) // QUARTERS + 1)
        if len(days) < len(self._changed):
            changes = [self._changed.get(day, 0) for day in days]
        else:
            changes = [change for day, change in self._changed.items() if day in days]
        return max(self._all_changed, max(changes, default=0))
