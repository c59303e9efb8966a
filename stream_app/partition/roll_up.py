"""How old rows of a partition are added up, commit by commit; for a view that says how.

Each commit takes a step: it moves the cutoff as far as the clock says, and adds up the old rows of
a stretch of the store, few enough that nobody waits for it. Rows removed, rows added up to and the
marker, which says the cutoff, are one commit; so a kill at any point leaves all sums right, and
the cutoff never moves back: the next owner begins with the marker's. It also looks through the
store from its start, which takes two look-ups for each device where nothing is left to do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from contract.changelog import Marker, RolledUp
from contract.view import Deltas, Retention, Row

#: Rows that a commit removes at most, and places of the store that it looks at: some 10 ms.
STEP_ROWS = 500
STEP_LOOKS = 1_000
#: Before the first row of every store.
_FIRST = b"\x01"


class Look(NamedTuple):
    """A stretch of the store to look through: from `start` on, `look_on` says where to go."""

    start: bytes
    look_on: Callable[[bytes], bytes | None]
    rows: int = STEP_ROWS
    looks: int = STEP_LOOKS


class Found(NamedTuple):
    """The old rows of a stretch, and where the next one starts; None: it was the last one."""

    rows: list[Row]
    following: bytes | None


class RollUp:
    """What is older than the cutoff, and how far the store is looked through for it."""

    def __init__(
        self, retention: Retention, marker: Marker, days: int, clock: Callable[[], float]
    ) -> None:
        """Go on after the marker; `days` are kept, 0: the cutoff stays where it is."""
        self._retention = retention
        self._days = days
        self._clock = clock
        self.cutoff = marker.cutoff
        self._rows = marker.rolled_up.rows if marker.rolled_up else 0
        #: Where to look on; None: no row is old.
        self._following = _FIRST if self.cutoff else None

    def is_due(self) -> bool:
        """Return whether there is something to do, without a reading that has come."""
        return self._following is not None or self._newest_cutoff() > self.cutoff

    def begin(self, deltas: Deltas) -> Look | None:
        """Begin a step: what deltas have of old readings is added up, and the store looked through.

        Returns None where that is not needed.
        """
        cutoff = self._newest_cutoff()
        if cutoff > self.cutoff:
            self.cutoff, self._following = cutoff, _FIRST
        self._retention.cut(deltas, self.cutoff)
        if self._following is None:
            return None
        look_on, cutoff = self._retention.look_on, self.cutoff
        return Look(self._following, lambda key: look_on(key, cutoff))

    def take(self, found: Found, deltas: Deltas) -> None:
        """Add up the old rows that were found. Raises: CorruptRecord."""
        self._retention.take_old(found.rows, deltas)
        self._rows += len(found.rows)
        self._following = found.following

    def told(self) -> RolledUp | None:
        """Return what the marker of the commit says; None: nothing was ever old."""
        return RolledUp(self.cutoff, self._rows) if self.cutoff else None

    def _newest_cutoff(self) -> int:
        if not self._days:
            return self.cutoff
        return max(self.cutoff, self._retention.cutoff_at(self._clock(), self._days))
