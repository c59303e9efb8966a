"""Keys in order, as blocks of sorted lists: a new key moves one block, not a million keys.

Bytes of UTF-8 sort like the code points they stand for. Keys are only ever added.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable

#: A block is halved when it has more keys than this.
BLOCK = 2_048


class SortedKeys:
    """A set of keys in ascending order."""

    __slots__ = ("_blocks", "_firsts", "_length")

    def __init__(self) -> None:
        """Begin empty."""
        self._blocks: list[list[bytes]] = []
        self._firsts: list[bytes] = []
        self._length = 0

    def __len__(self) -> int:
        """Return the number of keys."""
        return self._length

    def add(self, keys: Iterable[bytes]) -> None:
        """Add keys that are not there yet; about 1 us each, so hand in slices."""
        for key in keys:
            if not self._blocks:
                self._blocks, self._firsts = [[key]], [key]
            else:
                place = max(bisect_right(self._firsts, key) - 1, 0)
                block = self._blocks[place]
                insort(block, key)
                self._firsts[place] = block[0]
                if len(block) > BLOCK:
                    self._halve(place)
            self._length += 1

    def _halve(self, place: int) -> None:
        block = self._blocks[place]
        upper = block[len(block) // 2 :]
        del block[len(block) // 2 :]
        self._blocks.insert(place + 1, upper)
        self._firsts.insert(place + 1, upper[0])

    def at(self, index: int, *, descending: bool = False) -> bytes | None:
        """Return the key at a place of the order, None beyond its end; a step per block."""
        if not 0 <= index < self._length:
            return None
        if descending:
            index = self._length - 1 - index
        for block in self._blocks:
            if index < len(block):
                return block[index]
            index -= len(block)
        return None

    def first(self, *, descending: bool = False) -> bytes | None:
        """Return the key the order begins with, None if there is none."""
        if not self._blocks:
            return None
        return self._blocks[-1][-1] if descending else self._blocks[0][0]

    def slice_from(
        self, key: bytes, *, descending: bool = False
    ) -> tuple[list[bytes], bytes | None]:
        """Return up to a block of keys in order from `key` on, and the key that follows them.

        `key` need not be there. The following key is None at the end.
        """
        return self._slice_down(key) if descending else self._slice_up(key)

    def _slice_up(self, key: bytes) -> tuple[list[bytes], bytes | None]:
        place = max(bisect_right(self._firsts, key) - 1, 0)
        if not self._blocks:
            return [], None
        block = self._blocks[place]
        following = self._firsts[place + 1] if place + 1 < len(self._blocks) else None
        return block[bisect_left(block, key) :], following

    def _slice_down(self, key: bytes) -> tuple[list[bytes], bytes | None]:
        place = bisect_right(self._firsts, key) - 1
        if place < 0:
            return [], None
        block = self._blocks[place]
        following = self._blocks[place - 1][-1] if place > 0 else None
        return block[: bisect_right(block, key)][::-1], following
