"""What readers ask of a view `device_totals`, whatever keeps it: totals in one snapshot.

Devices are named by their ids as bytes of UTF-8, whose order is that of the code points. What is
stored for a device, a StoredTotal, is opaque: served_total, exact_total and rank_of
(stored_total.py) read it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol

from api.view.stored_total import StoredTotal


class Totals(Protocol):
    """A snapshot of the totals: whole commits, as of `applied_offsets`, however long it is read.

    To be left soon, and read in one thread at a time. A look-up takes some 2 us, a row of an
    order 0.2 us; a million rows belong in a thread.
    """

    @property
    def applied_offsets(self) -> list[int]:
        """The applied offset of each source partition, -1 for none."""
        ...

    @property
    def devices(self) -> int:
        """How many devices there are."""
        ...

    def get(self, device: bytes) -> StoredTotal | None:
        """Return what is stored for a device, None where it is unknown."""
        ...

    def many(self, devices: Iterable[bytes]) -> list[tuple[bytes, StoredTotal]]:
        """Return those of the devices that are known, in the order asked for."""
        ...

    def by_device(
        self, *, descending: bool = False, offset: int = 0
    ) -> Iterator[tuple[bytes, StoredTotal]]:
        """Yield all devices in order of their ids, from a place of that order on."""
        ...

    def after(self, device: bytes, most: int) -> list[bytes]:
        """Return the devices behind one in ascending order, which need not exist; at `most`."""
        ...

    def by_total(
        self, *, descending: bool = False, offset: int = 0
    ) -> Iterator[tuple[bytes, float]]:
        """Yield all devices in order of their totals as served, from a place of that order on.

        Each comes with what it is ranked by: its total as a Float64, beyond that an infinity.
        Devices of the same total come in ascending order of their ids, in both directions.
        """
        ...


class TotalsSource(Protocol):
    """The totals of a view version as they are served and followed."""

    @property
    def view_version(self) -> int:
        """The view version they are of."""
        ...

    @property
    def log(self) -> tuple[str, str]:
        """Cluster id and id of the changelog topic: in another log the same offsets mean more."""
        ...

    def applied_offsets(self) -> list[int]:
        """Return the applied offset of each source partition, -1 for none, as it was told.

        All that changed up to them is in `changed`.
        """
        ...

    def shown_offsets(self) -> list[int]:
        """Return the applied offset of each source partition, -1 for none, of what is shown now.

        Rows that are read after this call are at least so new.
        """
        ...

    def snapshot(self) -> AbstractContextManager[Totals]:
        """Hold the totals as they are now; in any thread, but in one from begin to end."""
        ...
