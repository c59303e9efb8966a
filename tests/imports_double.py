"""An importer over a log in memory: fences as Kafka does, fails where a test says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from contract.imports import Position
from producer.errors import BrokerUnreachable, ImportSuperseded, RecordsRefused
from producer.import_writer import Batch


@dataclass
class MemoryImports:
    """What all processes see: rows, positions, and who may write in which slot."""

    values: list[bytes] = field(default_factory=list)
    refused: list[bytes] = field(default_factory=list)
    positions: dict[str, dict[str, Position]] = field(default_factory=dict)
    writers: dict[str, object] = field(default_factory=dict)
    transactions: list[int] = field(default_factory=list)
    #: What happens to the next writes: "lost" after the commit, "gone" before it, "refused".
    fates: list[str] = field(default_factory=list)

    def writer(self, slot: str) -> MemoryImporter:
        return MemoryImporter(self, slot)


class MemoryImporter:
    """One process's writer of one slot."""

    def __init__(self, imports: MemoryImports, slot: str) -> None:
        self._imports = imports
        self._slot = slot
        self.positions: dict[str, Position] = {}
        self.starts = 0

    def start(self) -> None:
        self.starts += 1
        self._imports.writers[self._slot] = self
        self.positions = dict(self._imports.positions.get(self._slot, {}))

    def position(self, source: str = "0") -> Position:
        return self.positions.get(source, Position())

    def write(
        self,
        batch: Batch,
        next_position: int,
        *,
        source: str = "0",
        note: Mapping[str, Any] | None = None,
        forget: Sequence[str] = (),
    ) -> None:
        imports = self._imports
        fate = imports.fates.pop(0) if imports.fates else ""
        if fate == "gone":
            raise BrokerUnreachable
        if fate == "refused":
            raise RecordsRefused
        if imports.writers[self._slot] is not self:
            raise ImportSuperseded
        assert len(batch.keys) == len(batch.values)
        imports.values += batch.values
        imports.refused += batch.quarantined
        imports.transactions.append(len(batch.values) + len(batch.quarantined))
        self.positions[source] = Position(next_position, note=dict(note or {}))
        for each in forget:
            del self.positions[each]
        imports.positions[self._slot] = dict(self.positions)
        if fate == "lost":
            raise BrokerUnreachable

    def close(self) -> None:
        """Nothing is open."""
