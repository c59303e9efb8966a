"""A snapshot of the totals: what readers ask of a view `device_totals`, answered from the copy.

Devices are named by their ids as bytes of UTF-8, whose order is that of the code points. What is
stored for a device, a StoredTotal, is opaque: served_total, exact_total and rank_of
(stored_total.py) read it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from api.view.stored_total import RANK, StoredTotal, rank_of
from api.view.totals_copy.layout import Databases
from api.view.totals_copy.places import STEP, Places

#: Devices of the same total that are turned round in memory; more are read from their first on.
TIES = 1_000


class TotalsSnapshot:
    """Whole commits, as of `applied_offsets`, however long it is read: one read transaction.

    To be left soon, and read in one thread at a time. A look-up takes some 2 us, a row of an
    order 0.2 us; a million rows belong in a thread.
    """

    def __init__(
        self, transaction: Any, databases: Databases, places: Places, applied: Sequence[int]
    ) -> None:
        """Begin with an open transaction, in which these offsets are applied.

        `places` is shared by all snapshots of the copy.
        """
        self._places = places
        self._transaction = transaction
        self._databases = databases
        self._rows = databases.rows
        self._applied = applied

    @property
    def applied_offsets(self) -> list[int]:
        """The applied offset of each source partition, -1 for none."""
        return [*self._applied]

    @property
    def devices(self) -> int:
        """How many devices there are."""
        return int(self._transaction.stat(self._rows)["entries"])

    def get(self, device: bytes) -> StoredTotal | None:
        """Return what is stored for a device, None where it is unknown."""
        stored: StoredTotal | None = self._transaction.get(device, db=self._rows)
        return stored

    def many(self, devices: Iterable[bytes]) -> list[tuple[bytes, StoredTotal]]:
        """Return those of the devices that are known, in the order asked for."""
        found: list[tuple[bytes, StoredTotal]] = self._transaction.cursor(db=self._rows).getmulti(
            list(devices)
        )
        return found

    def by_device(
        self, *, descending: bool = False, offset: int = 0
    ) -> Iterator[tuple[bytes, StoredTotal]]:
        """Yield all devices in order of their ids, from a place of that order on."""
        cursor = self._transaction.cursor(db=self._rows)
        walk, step = (
            (cursor.iterprev, cursor.prev) if descending else (cursor.iternext, cursor.next)
        )
        devices = self.devices
        if offset >= devices:
            return iter(())
        if offset >= STEP:
            self._places.put(cursor, devices - 1 - offset if descending else offset, devices)
        elif offset:
            _pass_over(walk(values=False), offset)
            step()
        rows: Iterator[tuple[bytes, StoredTotal]] = walk()
        return rows

    def after(self, device: bytes, most: int) -> list[bytes]:
        """Return the devices behind one in ascending order, which need not exist; at `most`."""
        cursor = self._transaction.cursor(db=self._rows)
        # No device_id has a control character in it: it is the very next key there may be.
        if not cursor.set_range(device + b"\0"):
            return []
        return list(islice(cursor.iternext(values=False), most))

    def by_total(
        self, *, descending: bool = False, offset: int = 0
    ) -> Iterator[tuple[bytes, float]]:
        """Yield all devices in order of their totals as served, from a place of that order on.

        Each comes with what it is ranked by: its total as a Float64, beyond that an infinity.
        Devices of the same total come in ascending order of their ids, in both directions.
        """
        if offset >= self.devices:
            return
        keys = self._falling() if descending else self._rising()
        _pass_over(keys, offset)
        for key in keys:
            yield key[RANK:], rank_of(key)

    def _rising(self) -> Iterator[bytes]:
        keys: Iterator[bytes] = self._transaction.cursor(db=self._databases.by_total).iternext(
            values=False
        )
        return keys

    def _falling(self) -> Iterator[bytes]:
        """Yield the index from its end, but devices of the same total from the first on."""
        cursor = self._transaction.cursor(db=self._databases.by_total)
        is_there = cursor.last()
        while is_there:
            is_there, rank = False, b""
            ties: list[bytes] = []
            for key in cursor.iterprev(values=False):
                if not key.startswith(rank) or not ties:
                    yield from reversed(ties)
                    rank, ties = key[:RANK], [key]
                    continue
                ties.append(key)
                if len(ties) > TIES:
                    yield from self._of_rank(rank)
                    ties = []
                    cursor.set_range(rank)
                    is_there = cursor.prev()
                    break
            yield from reversed(ties)

    def _of_rank(self, rank: bytes) -> Iterator[bytes]:
        cursor = self._transaction.cursor(db=self._databases.by_total)
        cursor.set_range(rank)
        for key in cursor.iternext(values=False):
            if not key.startswith(rank):
                return
            yield key


def _pass_over(walked: Iterator[Any], count: int) -> None:
    deque(islice(walked, count), 0)
