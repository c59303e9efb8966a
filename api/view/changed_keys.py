"""Which keys of a view have changed since somebody asked last."""

from __future__ import annotations

from collections.abc import Collection

Keys = Collection[bytes]

#: A transaction of more is copied by nobody: a million keys would hold all others up.
SMALL = 10_000


class ChangedKeys:
    """The keys of the transactions that became visible; `take` them now and then."""

    def __init__(self) -> None:
        self._keys: set[bytes] = set()
        self._large: list[Keys] = []

    def note(self, changed: Keys) -> None:
        """Take in a transaction, in the one step that shows it; it changes no more."""
        if len(changed) <= SMALL:
            self._keys.update(changed)
        else:
            self._large.append(changed)

    def take(self) -> list[Keys]:
        """Return what changed, some keys perhaps twice, and start over."""
        taken = [*self._large]
        if self._keys:
            taken.append(self._keys)
            self._keys = set()
        self._large = []
        return taken
