"""`energy_imports` in memory, with transactions as Kafka has them; fails where a test says."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Lock

from confluent_kafka import KafkaError, KafkaException

from contract.errors import CorruptRecord
from contract.key_notes import KeyNote
from producer.idempotency.key_order import KeyOrder
from producer.judging import Batch


@dataclass
class Transaction:
    """`is_committed` None: it is open."""

    is_committed: bool | None = None


@dataclass
class MemoryImports:
    """What all processes see: the committed rows, and all notes with their transactions."""

    values: list[bytes] = field(default_factory=list)
    refused: list[bytes] = field(default_factory=list)
    transactions: list[int] = field(default_factory=list)
    notes: list[tuple[bytes, bytes | None, Transaction]] = field(default_factory=list)
    #: What happens to the next commits: "lost" after it, "gone" before it, "refused", "" nothing;
    #: "open": the answer is lost, the rows are in the log, the test says what becomes of them.
    fates: list[str] = field(default_factory=list)
    #: Called between a transaction's check and its commit.
    meanwhile: Callable[[], None] = lambda: None
    lock: Lock = field(default_factory=Lock)

    def keys(self) -> MemoryKeys:
        return MemoryKeys(self)

    def writer(self, name: str) -> MemoryKeyedWriter:
        return MemoryKeyedWriter(self, name)

    @property
    def kept(self) -> dict[bytes, bytes]:
        """The committed notes by key."""
        found: dict[bytes, bytes] = {}
        for key, value, transaction in self.notes:
            if transaction.is_committed:
                found.pop(key, None)
                if value is not None:
                    found[key] = value
        return found


class MemoryKeys:
    """One process's view of the notes; in place of a KeyLog."""

    def __init__(self, imports: MemoryImports) -> None:
        self._imports = imports
        self._order = KeyOrder()
        self._seen = 0

    def start(self) -> None:
        """Read what is there when the process starts; later only what a check needs."""
        if not self._seen:
            self._advance()

    def note(self, key: bytes) -> KeyNote | None:
        return self._order.note(key)

    def keys_of(self, token: bytes) -> tuple[int, int]:
        return self._order.keys_of(token), len(self._order)

    def oldest(self, most: int, before: int) -> dict[bytes, KeyNote]:
        return self._order.oldest(most, before)

    def check(self, offsets: Sequence[int], before: Mapping[bytes, KeyNote | None]) -> None:
        self._advance()
        self._order.check(offsets, before)

    def wait_decided(self, offset: int, timeout_seconds: float) -> bool:
        deadline = time.monotonic() + timeout_seconds
        while True:
            self._advance()
            if self._order.decided_offset > offset:
                return True
            if time.monotonic() > deadline:
                return False
            time.sleep(0.001)

    def close(self) -> None:
        """Nothing is open."""

    def _advance(self) -> None:
        with self._imports.lock:
            notes = [*self._imports.notes]
            for offset in range(self._seen, len(notes)):
                self._order.see(offset, notes[offset][0])
            self._seen = len(notes)
            for offset in range(self._order.decided_offset, len(notes)):
                key, value, transaction = notes[offset]
                if transaction.is_committed is None:
                    break
                if transaction.is_committed:
                    with suppress(CorruptRecord):
                        self._order.apply(key, value)
                self._order.decide(offset + 1)


class MemoryKeyedWriter:
    """A transactional writer; in place of a KeyedWriter."""

    def __init__(self, imports: MemoryImports, name: str) -> None:
        self._imports = imports

    def write(
        self,
        batch: Batch,
        changed: Mapping[bytes, bytes | None],
        check: Callable[[Sequence[int]], None],
    ) -> None:
        imports, transaction = self._imports, Transaction()
        with imports.lock:
            first = len(imports.notes)
            imports.notes += [(key, value, transaction) for key, value in changed.items()]
        try:
            check(range(first, first + len(changed)))
            imports.meanwhile()
        except BaseException:
            transaction.is_committed = False
            raise
        assert len(batch.keys) == len(batch.values)
        with imports.lock:
            fate = imports.fates.pop(0) if imports.fates else ""
            transaction.is_committed = None if fate == "open" else fate in ("", "lost")
            if transaction.is_committed is not False:
                imports.values += batch.values
                imports.refused += batch.quarantined
                imports.transactions.append(len(batch.values) + len(batch.quarantined))
        if fate == "refused":
            raise KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))
        if fate:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))

    def close(self) -> None:
        """Nothing is open."""
