"""What a stream watches: some devices, all of them, or the first N in an order of totals.

Each says which rows a snapshot has and which rows to send next. What waits for a slow reader is
bounded by the devices it watches: a device that changes ten times meanwhile is one row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from api.query.streams.change_log import ChangeLog
from api.view.totals_view import TotalsView

#: Devices that are looked at in one go.
SLICE = 1_000


class Change(NamedTuple):
    """The rows to send next.

    `left`: who is no longer among the first, None: not asked for. `part`: of the log of changes,
    where its rows are all that is in it.
    """

    keys: Sequence[bytes]
    left: Sequence[str] | None = None
    part: tuple[int, int] | None = None


class First(NamedTuple):
    """The first, at `most` so many, in an order of totals; `among`: of these, None: of all."""

    most: int
    descending: bool
    among: tuple[bytes, ...] | None = None


class Source(Protocol):
    """What the watches of a hub share."""

    log: ChangeLog
    #: How far the log is told to all: what is behind it belongs to a tick under way.
    head: int

    def first(self, asked: First, *, is_fresh: bool = False) -> tuple[bytes, ...]:
        """Return the first devices, as of this tick, or as of now where that `is_fresh`."""


class Watch:
    """What one stream watches."""

    __slots__ = ("coalesced",)

    #: Where it is in the log of changes.
    position = 0

    def __init__(self) -> None:
        #: Changes of rows that their reader will never see, because newer ones took their place.
        self.coalesced = 0

    def begin(self, source: Source) -> None:
        """Count changes from now on: the reader has all that is visible now, or is sent it."""
        raise NotImplementedError

    def keys_of(self, source: TotalsView) -> Iterator[list[bytes]]:
        """Yield the keys of a snapshot that has begun, in slices. Raises: Unavailable."""
        raise NotImplementedError

    def has_more(self, source: Source) -> bool:
        """Whether something changed that is not sent."""
        raise NotImplementedError

    def changed(self, source: Source, most: int) -> Change:
        """Return up to `most` rows that changed, which are sent from now on."""
        raise NotImplementedError


class Devices(Watch):
    """Some devices, also such as do not exist yet."""

    __slots__ = ("keys", "pending")

    def __init__(self, keys: Sequence[bytes]) -> None:
        """Watch these, each given once."""
        super().__init__()
        self.keys = tuple(sorted(keys))
        #: Changed and not sent; the hub adds to it.
        self.pending: set[bytes] = set()

    def note(self, key: bytes) -> None:
        """Take in that a device has changed."""
        if key in self.pending:
            self.coalesced += 1
        else:
            self.pending.add(key)

    def begin(self, source: Source) -> None:
        """Begin from here."""
        self.pending = set()

    def keys_of(self, source: TotalsView) -> Iterator[list[bytes]]:
        """Yield all of them, in order."""
        yield list(self.keys)

    def has_more(self, source: Source) -> bool:
        """Whether a device changed."""
        return bool(self.pending)

    def changed(self, source: Source, most: int) -> Change:
        """Return devices that changed."""
        pending = sorted(self.pending)
        self.pending = set(pending[most:])
        return Change(pending[:most])


class Fleet(Watch):
    """All devices."""

    __slots__ = ("position",)

    def __init__(self) -> None:
        super().__init__()
        self.position = 0

    def begin(self, source: Source) -> None:
        """Begin from here."""
        self.position = source.head

    def keys_of(self, source: TotalsView) -> Iterator[list[bytes]]:
        """Yield all there are in order, also those added meanwhile."""
        return _all_devices(source)

    def has_more(self, source: Source) -> bool:
        """Whether a device changed."""
        return self.position < source.head

    def changed(self, source: Source, most: int) -> Change:
        """Return devices that changed, those first that have waited longest."""
        before = self.position
        keys, self.position = source.log.since(before, most)
        self.coalesced += self.position - before - len(keys)
        return Change(keys, part=(before, self.position))


class Top(Watch):
    """The first devices in an order of totals; ties come in order of their ids."""

    __slots__ = ("asked", "position", "shown")

    def __init__(self, asked: First) -> None:
        super().__init__()
        self.asked = asked
        self.position = 0
        self.shown: tuple[bytes, ...] = ()

    def begin(self, source: Source) -> None:
        """Begin with those that are the first now."""
        self.shown = source.first(self.asked, is_fresh=True)
        self.position = source.head

    def keys_of(self, source: TotalsView) -> Iterator[list[bytes]]:
        """Yield the first, in their order."""
        yield list(self.shown)

    def has_more(self, source: Source) -> bool:
        """Whether a device changed, of the first or not."""
        return self.position < source.head

    def changed(self, source: Source, most: int) -> Change:
        """Return those of the first that changed or are new among them, in order; all at once."""
        first = source.first(self.asked)
        log, before, shown = source.log, self.position, set(self.shown)
        keys = [key for key in first if log.changed_at(key) > before or key not in shown]
        left = [] if first is self.shown else [key.decode() for key in shown.difference(first)]
        self.position, self.shown = source.head, first
        return Change(keys, sorted(left))


def _all_devices(source: TotalsView) -> Iterator[list[bytes]]:
    last = b""
    while True:
        # No snapshot is held from slice to slice: its reader may be slow.
        with source.snapshot() as totals:
            devices = totals.after(last, SLICE)
        if not devices:
            return
        yield devices
        last = devices[-1]
