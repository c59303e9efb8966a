"""Bytes of `energy_imports`: how far each import has come.

An import is whatever writes readings on purpose and must not write them twice: a load, a
backfill, a requeue, a POST with an idempotency key. Its position stands in one transaction with
the rows it counts. Keys: `kind/id/source`; a source is the part of an import that has an order
of its own: a file, a partition of another topic, an origin. Everything is in partition 0, so a
position never moves to another one.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from contract.errors import CorruptRecord
from contract.prefix import prefixed

IMPORTS_PARTITION = 0


class Position(msgspec.Struct, frozen=True):
    """How far one source of an import has come.

    `next_position` is where it continues, in a unit of the import's own (bytes, rows, offsets).
    `readings` and `quarantined` are numbers of rows since the beginning of the import. `owner`
    names the process that wrote it. `note` is the import's own.
    """

    next_position: int = 0
    readings: int = 0
    quarantined: int = 0
    owner: str = ""
    note: dict[str, Any] | None = None
    v: Literal[1] = 1


_encode = msgspec.json.encode
_decode = msgspec.json.Decoder(Position, strict=True).decode


def import_prefix(kind: str, import_id: str) -> bytes:
    """Return what the keys of an import begin with."""
    return f"{kind}/{import_id}/".encode()


def import_transactional_id(kind: str, import_id: str) -> str:
    """Name the one writer of an import; whoever takes it over fences the one before."""
    return prefixed(f"energy-import-{kind}-{import_id}")


def encode_position(position: Position) -> bytes:
    """Write a position as JSON."""
    return _encode(position)


def decode_position(value: bytes) -> Position:
    """Read a position. Raises: CorruptRecord."""
    try:
        return _decode(value)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise CorruptRecord(f"no position of ours in energy_imports: {value[:64]!r}") from error
