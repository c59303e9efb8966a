"""Who writes under a key: decided by the order of the log, with no lock and no fence.

Any number of processes may write under the same keys, each with transactions of its own. A
transaction begins with its notes, one for each key; its rows follow only if at that moment

    1. no note of these keys before its own is undecided: in a transaction that is neither
       committed nor aborted, or not known to be
    2. the decided notes of these keys are those that it began from

Of two processes with the same key the one whose note comes later in the log sees the other's:
it aborts, waits, and finds what became of it. A process that dies leaves an open transaction,
which Kafka aborts. So rows of a key are committed once, and processes with different keys do not
touch each other. Not thread-safe.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from itertools import islice

from contract.errors import CorruptRecord
from contract.key_notes import KeyNote, decode_note, token_of
from contract.topics import IMPORTS


class Undecided(Exception):
    """Another transaction has the key; wait until it is decided, then begin again."""

    def __init__(self, offset: int) -> None:
        super().__init__(f"the note at offset {offset} is undecided")
        self.offset = offset


class Stale(Exception):
    """Another process has continued with the key; begin again with what it left."""


class KeyOrder:
    """All notes that are decided, and those behind them that may not be."""

    def __init__(self) -> None:
        self._notes: dict[bytes, bytes] = {}
        self._by_token: Counter[bytes] = Counter()
        #: Keys with a record that we did not write, until another one takes its place.
        self._unreadable: set[bytes] = set()
        self._behind: deque[tuple[int, bytes]] = deque()
        #: All before it is decided, and in the notes.
        self.decided_offset = 0

    def __len__(self) -> int:
        return len(self._notes)

    def note(self, key: bytes) -> KeyNote | None:
        """Return the decided note of a key. Raises: CorruptRecord, where it cannot be read."""
        if key in self._unreadable:
            raise CorruptRecord(f"the note of {key!r} in {IMPORTS.name} cannot be read")
        packed = self._notes.get(key)
        return None if packed is None else KeyNote.unpacked(packed)

    def keys_of(self, token: bytes) -> int:
        """Return how many keys of a token are kept."""
        return self._by_token[token]

    def oldest(self, most: int, before: int) -> dict[bytes, KeyNote]:
        """Return some notes that began before a time; those not written to for longest."""
        some = [
            (key, KeyNote.unpacked(packed)) for key, packed in islice(self._notes.items(), most)
        ]
        return {key: note for key, note in some if note.at < before}

    def apply(self, key: bytes, value: bytes | None) -> None:
        """Take over a committed note; None: it is forgotten.

        Raises: CorruptRecord; nobody writes under the key then: its rows may be in the log.
        """
        # Taken out first: what is written last stands last.
        former = self._notes.pop(key, None)
        if former is not None:
            self._by_token[token_of(key)] -= 1
        self._unreadable.discard(key)
        if value is None:
            return
        try:
            self._notes[key] = decode_note(value).packed()
        except CorruptRecord:
            self._unreadable.add(key)
            raise
        self._by_token[token_of(key)] += 1

    def decide(self, offset: int) -> None:
        """All before this offset is decided, and applied."""
        self.decided_offset = max(offset, self.decided_offset)
        while self._behind and self._behind[0][0] < self.decided_offset:
            self._behind.popleft()

    def see(self, offset: int, key: bytes) -> None:
        """Take in a note in the order of the log, whatever becomes of it."""
        if offset >= self.decided_offset:
            self._behind.append((offset, key))

    def see_again(self) -> None:
        """Forget what is not decided: it will be seen once more, from there on."""
        self._behind.clear()

    def check(self, offsets: Sequence[int], before: Mapping[bytes, KeyNote | None]) -> None:
        """Let a transaction continue whose notes are at these offsets, all before them seen.

        `before` says from which notes it began. Raises: Undecided, Stale.
        """
        last = max(offsets)
        for at, key in self._behind:
            if at < last and key in before and at not in offsets:
                raise Undecided(at)
        if any(key in self._unreadable or self.note(key) != before[key] for key in before):
            raise Stale
