"""The keys that changed, in order of their newest change: one log that many streams read.

A stream has a position in it and takes what comes behind. A key that changes again moves to the
end, so a slow reader finds it once, and what waits for all readers together is bounded by the
keys that exist.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Collection

#: Entries that may be out of date before they are taken out, above as many as are not.
SLACK = 1_000


class ChangeLog:
    """Keys, each numbered by its newest change; `end` is the newest number."""

    def __init__(self) -> None:
        self.end = 0
        self._numbers = array("q")
        self._keys: list[bytes] = []
        self._newest: dict[bytes, int] = {}

    def __len__(self) -> int:
        """Return the number of entries, those out of date among them."""
        return len(self._keys)

    def add(self, keys: Collection[bytes]) -> None:
        """Note that these have changed now."""
        numbers = range(self.end + 1, self.end + 1 + len(keys))
        self._numbers.extend(numbers)
        self._keys.extend(keys)
        self._newest.update(zip(keys, numbers, strict=True))
        self.end += len(keys)

    def changed_at(self, key: bytes) -> int:
        """Return the number of a key's newest change, 0 if it is not here."""
        return self._newest.get(key, 0)

    def since(self, position: int, most: int) -> tuple[list[bytes], int]:
        """Return keys that changed behind a position, at most so many, and the new position."""
        found: list[bytes] = []
        for place in range(bisect_right(self._numbers, position), len(self._keys)):
            key, number = self._keys[place], self._numbers[place]
            if self._newest[key] == number:
                found.append(key)
                if len(found) == most:
                    return found, number
        return found, self.end

    def forget(self, position: int) -> None:
        """Release what is out of date, and of what all readers have: they are at `position`."""
        if position >= self.end:
            self._numbers, self._keys, self._newest = array("q"), [], {}
        elif len(self._keys) > 2 * len(self._newest) + SLACK:
            newest = self._newest
            kept = [
                (number, key)
                for number, key in zip(self._numbers, self._keys, strict=True)
                if newest[key] == number and number > position
            ]
            self._numbers = array("q", [number for number, _ in kept])
            self._keys = [key for _, key in kept]
            self._newest = {key: number for number, key in kept}
