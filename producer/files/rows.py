"""What every reader of files yields: rows as JSON values, and rows that cannot become one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from contract.decoding import COLUMNS
from contract.errors import Fault, InvalidReading
from contract.quarantine import Whole

Format = Literal["ndjson", "csv", "parquet"]
FORMATS: tuple[Format, ...] = ("ndjson", "csv", "parquet")

#: Rows handed on at once: what fits into one transaction of an import.
SLICE_ROWS = 5_000
SLICE_BYTES = 4 << 20


class BadRow(NamedTuple):
    """A row that is no JSON value at all; `raw` is cut where `whole` is given."""

    line: int
    raw: bytes
    error: InvalidReading
    whole: Whole | None = None


class Rows(NamedTuple):
    """Some rows of a file, and where it goes on behind them.

    Shape: `lines` has the line (from 1; Parquet: the row) of each value. `next_position` is in
    bytes of the inflated file, or rows of a Parquet file; `next_line` is the line there.
    """

    values: Sequence[bytes]
    lines: Sequence[int]
    bad: Sequence[BadRow]
    next_position: int
    next_line: int


class Start(NamedTuple):
    """Where to begin to read: as `Rows.next_position` and `next_line` said."""

    position: int = 0
    line: int = 1


def unreadable(reason: str) -> InvalidReading:
    """Return the verdict on a row of which nothing can be told but that."""
    return InvalidReading((Fault("", reason),), dict.fromkeys(COLUMNS))
