"""Rows judged: readings to the log, the others to the quarantine, alike for every way in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from contract.decoding import COLUMNS, VALUE_BYTES, decode_readings
from contract.errors import Fault, InvalidReading
from contract.quarantine import ImportedRow, Whole, encode_quarantined

#: What one transaction takes: more rows would hide live readings for too long.
BATCH_ROWS = 5_000
BATCH_BYTES = 8 << 20


class Batch(NamedTuple):
    """Rows on their way: readings with their keys, and records of the quarantine."""

    keys: Sequence[bytes | None]
    values: Sequence[bytes]
    quarantined: Sequence[bytes] = ()

    @property
    def rows(self) -> int:
        """How many there are."""
        return len(self.values) + len(self.quarantined)


class BadRow(NamedTuple):
    """A row that is no reading; `raw` is cut where `whole` is given."""

    line: int
    raw: bytes
    error: InvalidReading
    whole: Whole | None = None


class Rows(NamedTuple):
    """Some rows of a file or body, and where it goes on behind them.

    Shape: `lines` has the line of each value, ascending from 1 (Parquet, arrays: the row); `bad`
    are rows that are no JSON value at all. `next_position` is in bytes of the inflated file, or
    rows of a Parquet file or array; `next_line` is the line there.
    """

    values: Sequence[bytes]
    lines: Sequence[int]
    bad: Sequence[BadRow]
    next_position: int
    next_line: int

    @property
    def total(self) -> int:
        """How many there are."""
        return len(self.values) + len(self.bad)

    @classmethod
    def numbered(cls, values: Sequence[bytes], first: int) -> Rows:
        """Return elements of an array, from its first-th on."""
        end = first + len(values)
        return cls(values, range(first, end), (), end - 1, end)


class Judged(NamedTuple):
    """The readings, after their keys, and the rows that are none in the order of their lines."""

    keys: list[bytes]
    values: Sequence[bytes]
    refused: Sequence[BadRow]


def unreadable(reason: str) -> InvalidReading:
    """Return the verdict on a row of which nothing can be told but that."""
    return InvalidReading((Fault("", reason),), dict.fromkeys(COLUMNS))


def too_long(line: int, beginning: bytes, whole: Whole) -> BadRow:
    """Return the verdict on a row of which only the beginning has been kept."""
    return BadRow(line, beginning, unreadable(f"more than {VALUE_BYTES} bytes"), whole)


def judge(rows: Rows) -> Judged:
    """Tell readings from what is none; each row is judged alone."""
    readings, rejected = decode_readings(rows.values)
    keys = [reading.device_id.encode() for reading in readings]
    if not rejected:
        return Judged(keys, rows.values, rows.bad)
    refused = [BadRow(rows.lines[at], rows.values[at], error) for at, error in rejected]
    if rows.bad:
        refused = sorted([*refused, *rows.bad], key=lambda row: row.line)
    places = {at for at, _ in rejected}
    values = [value for at, value in enumerate(rows.values) if at not in places]
    return Judged(keys, values, refused)


def quarantine(refused: Iterable[BadRow], source: ImportedRow) -> list[bytes]:
    """Write the quarantine records of refused rows; `source` names the import and the file."""
    now = datetime.now(UTC)
    import_id, file = source.import_id, source.file
    return [
        encode_quarantined(raw, error, ImportedRow(import_id, file, line), now, whole=whole)
        for line, raw, error, whole in refused
    ]
