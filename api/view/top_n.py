"""The first devices in an order of totals, kept up to date as transactions come.

An order costs nothing until somebody asks for it. Then all devices are looked at once, in
slices, and a few thousand kept: every device whose rank is up to the floor, and no other. A
transaction moves devices in and out; where too many are kept the floor sinks, and where too few
are left (totals fell), or one transaction moves too many, all are looked at again.

    prepare   before a transaction is shown: the new heights of its devices, in slices
    show      in the one step that shows it: those devices are moved

Ranks are (height, key), the height negative for a descending order, so ties come in order of
their ids. An order that nobody asked for in ten minutes is dropped.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Protocol

from api.view.sort_by_total import heights_of

#: At least so many devices are kept, if there are so many.
KEPT = 4_000
#: With more than this the floor sinks until KEPT are left.
MOST = 2 * KEPT
UNASKED_SECONDS = 600.0
#: Heights worked out in one go: about 1 ms.
SLICE_KEYS = 1_000

Rank = tuple[float, bytes]
Change = tuple[bytes, float]


class Held(Protocol):
    """What has the part-totals of all partitions."""

    def columns_of(self, keys: Sequence[bytes]) -> list[list[bytes | None]]:
        """Return the part-totals of devices, a list for each partition."""
        ...


class Leaders:
    """The first devices of one order."""

    def __init__(self, *, descending: bool) -> None:
        """Begin with no device seen, and so with all of them kept."""
        self._sign = -1.0 if descending else 1.0
        self._ranks: dict[bytes, Rank] = {}
        self._floor: Rank | None = None
        self._order: list[Rank] = []
        self._moved: set[bytes] = set()
        #: Whether every device was looked at; until then nothing may be left out.
        self.is_whole = False

    def concerns(self, key: bytes, height: float) -> bool:
        """Whether a device of this height is kept, or was."""
        return (
            not self.is_whole
            or self._floor is None
            or (self._sign * height, key) <= self._floor
            or key in self._ranks
        )

    def put(self, changes: Iterable[Change]) -> None:
        """Take in what devices have now."""
        sign, ranks, floor = self._sign, self._ranks, self._floor
        for key, height in changes:
            rank = (sign * height, key)
            if floor is None or rank <= floor:
                ranks[key] = rank
                self._moved.add(key)
                if len(ranks) > MOST:
                    self._sink()
                    floor = self._floor
            elif ranks.pop(key, None) is not None:
                self._moved.add(key)
        if len(self._moved) > MOST:
            self._settle()

    def first(self, count: int) -> list[bytes] | None:
        """Return the first devices in order; None where not so many are kept of all there are."""
        if self._floor is not None and count > len(self._ranks):
            return None
        self._settle()
        return [key for _, key in self._order[:count]]

    def _settle(self) -> None:
        """Bring the order up to date: two sorted runs, which one sort merges."""
        if self._moved:
            moved, ranks = self._moved, self._ranks
            order = [rank for rank in self._order if rank[1] not in moved]
            order += sorted(ranks[key] for key in moved if key in ranks)
            order.sort()
            self._order = order
            self._moved = set()

    def _sink(self) -> None:
        self._settle()
        for _, key in self._order[KEPT:]:
            del self._ranks[key]
        del self._order[KEPT:]
        self._floor = self._order[-1]


class Orders:
    """The orders of one view that somebody asks for."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with none."""
        self._clock = clock
        self._leaders: dict[bool, Leaders] = {}
        self._asked_at: dict[bool, float] = {}
        self._building: dict[bool, asyncio.Task[None]] = {}

    async def first(
        self, view: Held, slices: Callable[[], Iterator[list[bytes]]], descending: bool, count: int
    ) -> list[bytes]:
        """Return the first devices in order, as the view shows them now; `count` up to KEPT.

        `slices` gives all keys of the view, those added meanwhile too or not. Returns without
        awaiting where the order is kept already.
        """
        while True:
            self._asked_at[descending] = self._clock()
            leaders = self._leaders.get(descending)
            if leaders is not None and leaders.is_whole:
                keys = leaders.first(count)
                if keys is not None:
                    return keys
                leaders = None
            building = self._building.get(descending)
            if leaders is None or building is None or building.done():
                leaders = self._leaders[descending] = Leaders(descending=descending)
                build = self._build(view, descending, leaders, slices())
                self._building[descending] = asyncio.create_task(build)
            # Shared: who goes away meanwhile must not take it from the others.
            await asyncio.shield(self._building[descending])

    async def _build(
        self, view: Held, descending: bool, leaders: Leaders, slices: Iterator[list[bytes]]
    ) -> None:
        for keys in slices:
            if self._leaders.get(descending) is not leaders:
                return
            # What the view has now; whatever changes later is put in by `show`.
            leaders.put(heights_of(view, keys))
            await asyncio.sleep(0)
        leaders.is_whole = True

    async def prepare(
        self, view: Held, partition: int, change: Mapping[bytes, bytes]
    ) -> dict[Leaders, list[Change]]:
        """Work out what a transaction will move, before it is shown."""
        self._drop_unasked()
        moves: dict[Leaders, list[Change]] = {each: [] for each in self._leaders.values()}
        if moves:
            keys = iter(change)
            while some := list(islice(keys, SLICE_KEYS)):
                heights = list(heights_of(_Changed(view, partition, change), some))
                for leaders, found in moves.items():
                    if len(found) <= MOST:
                        found += [each for each in heights if leaders.concerns(*each)]
                if len(change) > SLICE_KEYS:
                    await asyncio.sleep(0)
        return moves

    def show(
        self, view: Held, change: Mapping[bytes, bytes], moves: Mapping[Leaders, list[Change]]
    ) -> None:
        """Move the devices of a transaction that the view shows from now on."""
        for descending, leaders in list(self._leaders.items()):
            moved = moves.get(leaders)
            if len(change if moved is None else moved) > MOST:
                # Too many for one step: whoever asks next looks at all devices, in slices.
                del self._leaders[descending]
            else:
                # An order begun since then knows nothing of this transaction.
                leaders.put(heights_of(view, list(change)) if moved is None else moved)

    def _drop_unasked(self) -> None:
        now = self._clock()
        for descending, asked_at in list(self._asked_at.items()):
            if now - asked_at > UNASKED_SECONDS and self._building[descending].done():
                del self._asked_at[descending], self._building[descending]
                self._leaders.pop(descending, None)


class _Changed:
    """A view as it will be once a change of one partition is shown."""

    def __init__(self, view: Held, partition: int, change: Mapping[bytes, bytes]) -> None:
        self._view = view
        self._partition = partition
        self._change = change

    def columns_of(self, keys: Sequence[bytes]) -> list[list[bytes | None]]:
        columns = self._view.columns_of(keys)
        columns[self._partition] = [self._change[key] for key in keys]
        return columns
