"""Rows judged: readings to the log, the others to the quarantine, alike for every way in.

A sender who may not write every reading is asked about each one, and about what can be read of the
others: their fault may be repaired later, and then they would count.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

from contract.decoding import COLUMNS, VALUE_BYTES, Reading, Rejected, decode_readings
from contract.errors import Fault, InvalidReading, NotPermitted
from contract.quarantine import ImportedRow, Whole, encode_quarantined
from contract.validation import received

#: What one transaction takes: more rows would hide live readings for too long.
BATCH_ROWS = 5_000
BATCH_BYTES = 8 << 20


class Sender(Protocol):
    """Whoever may write some readings only."""

    def faults(self, device_id: str | None, location: str | None) -> tuple[Fault, ...]:
        """Return why it may not write such a row; None: the row does not say it readably."""


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
    """Some rows of a file or body, and where it continues behind them.

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

    @property
    def has_reading(self) -> bool:
        """Whether any row is one, whoever may write it."""
        return bool(self.values) or any(isinstance(row.error, NotPermitted) for row in self.refused)


def unreadable(reason: str) -> InvalidReading:
    """Return the verdict on a row of which nothing can be told but that."""
    return InvalidReading((Fault("", reason),), dict.fromkeys(COLUMNS))


def too_long(line: int, beginning: bytes, whole: Whole) -> BadRow:
    """Return the verdict on a row of which only the beginning has been kept."""
    return BadRow(line, beginning, unreadable(f"more than {VALUE_BYTES} bytes"), whole)


def judge(rows: Rows, sender: Sender | None = None) -> Judged:
    """Tell readings from what is none, or not the sender's; each row is judged alone.

    `sender` None: may write every reading, and nothing more is looked at.
    """
    readings, rejected = decode_readings(rows.values)
    if sender is not None:
        readings, rejected = _permitted(rows.values, readings, rejected, sender)
    keys = [reading.device_id.encode() for reading in readings]
    if not rejected:
        return Judged(keys, rows.values, rows.bad)
    refused = [BadRow(rows.lines[at], rows.values[at], error) for at, error in rejected]
    if rows.bad:
        refused = sorted([*refused, *rows.bad], key=lambda row: row.line)
    places = {at for at, _ in rejected}
    values = [value for at, value in enumerate(rows.values) if at not in places]
    return Judged(keys, values, refused)


def _permitted(
    values: Sequence[bytes],
    readings: Sequence[Reading],
    rejected: Sequence[Rejected],
    sender: Sender,
) -> tuple[list[Reading], list[Rejected]]:
    """Return which readings are the sender's, and all other values with their faults."""
    invalid = dict(rejected)
    left = iter(readings)
    own: list[Reading] = []
    others: list[Rejected] = []
    for place, value in enumerate(values):
        if (error := invalid.get(place)) is not None:
            others.append(Rejected(place, _with_faults_of(sender, error)))
            continue
        reading = next(left)
        if faults := sender.faults(reading.device_id, reading.location):
            others.append(Rejected(place, NotPermitted(faults, received(value))))
        else:
            own.append(reading)
    return own, others


def _with_faults_of(sender: Sender, error: InvalidReading) -> InvalidReading:
    faulty = {fault.column for fault in error.faults}
    device_id, location = (
        None if column in faulty else error.received[column] for column in ("device_id", "location")
    )
    more = sender.faults(device_id, location)
    return InvalidReading((*error.faults, *more), error.received) if more else error


def quarantine(refused: Iterable[BadRow], source: ImportedRow) -> list[bytes]:
    """Write the quarantine records of refused rows; `source` names the import and the file."""
    now = datetime.now(UTC)
    import_id, file = source.import_id, source.file
    return [
        encode_quarantined(raw, error, ImportedRow(import_id, file, line), now, whole=whole)
        for line, raw, error, whole in refused
    ]
