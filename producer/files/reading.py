"""From a file to batches for the importer: read, judge, and write down what is refused.

Guarantees: of a file none of whose rows is a reading nothing is handed out, unless so many of
them come first that they cannot be held back; what ends without a reading never ends well.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from contract.decoding import decode_readings
from contract.errors import InvalidReading
from contract.quarantine import ImportedRow, encode_quarantined
from producer.errors import FileRefused, FileTooLarge, NoReading, TooManyRefused
from producer.files.cells import Dialect
from producer.files.columnar import parquet_rows
from producer.files.confined import confined_rows
from producer.files.content import Content, looks_like
from producer.files.delimited import csv_rows
from producer.files.documents import document_rows, is_document
from producer.files.ndjson import ndjson_rows
from producer.files.rows import Format, Rows, Start
from producer.imports.transactions import Batch

_FORMAT_OF_KIND: dict[str, Format] = {"parquet": "parquet", "json": "ndjson", "text": "csv"}
#: Refused rows that are held back until the first reading comes.
HELD_ROWS = 10_000
_HELD_BYTES = 8 << 20
_REASONS = 3


class Refusal(NamedTuple):
    """Why a row is no reading."""

    line: int
    error: InvalidReading


class Place(NamedTuple):
    """A batch of a file, and where the file goes on behind it, at which line.

    `refused` has the first ones that are no reading; `is_cut` says that there are more of them
    than are allowed, and the batch ends before those.
    """

    batch: Batch
    next_position: int
    next_line: int
    refused: tuple[Refusal, ...] = ()
    is_cut: bool = False


def read_places(
    content: Content,
    form: Format | None,
    start: Start,
    dialect: Dialect,
    source: ImportedRow,
    *,
    has_readings: bool = False,
    most_refused: int | None = None,
) -> Iterator[Place]:
    """Yield a file's rows, judged; `source` has the names of import and file.

    `has_readings` says that rows before the start were readings; `most_refused` is how many
    rows may be none, after which a stranger's file ends.
    Raises: FileRefused, before anything is yielded; FileBroken; NoReading and TooManyRefused,
    behind all else.
    """
    held: list[Place] = []
    reasons: list[Refusal] = []
    refused = held_bytes = 0
    is_held = not has_readings
    for some in read_rows(content, form, start, dialect):
        place = judged(some, source, None if most_refused is None else most_refused - refused)
        refused += len(place.batch.quarantined)
        has_readings = has_readings or bool(place.batch.values)
        reasons += place.refused[: _REASONS - len(reasons)]
        if is_held:
            held.append(place)
            held_bytes += sum(map(len, place.batch.quarantined))
            is_held = not has_readings and refused <= HELD_ROWS and held_bytes <= _HELD_BYTES
        if not is_held:
            yield from held or (place,)
            held = []
        if place.is_cut and has_readings:
            raise TooManyRefused(f"more than {most_refused} rows are no readings, {_why(reasons)}")
        if place.is_cut:
            break
    if refused and not has_readings:
        at_least = "" if most_refused is None or refused < most_refused else "at least "
        raise NoReading(
            f"none of its {at_least}{refused} rows is a reading, {_why(reasons)};"
            f" it looks like {looks_like(content.head)}"
        )


def _why(reasons: list[Refusal]) -> str:
    told = (f"line {line}: {error}" for line, error in reasons)
    return f"the first ones {'; '.join(told)}"


def read_rows(
    content: Content, form: Format | None, start: Start, dialect: Dialect
) -> Iterator[Rows]:
    """Yield the rows of a file; `form` None: whatever it is.

    Raises: FileRefused if it is not what it is said to be, before anything is yielded; FileBroken.
    """
    form = format_in(content, form)
    try:
        yield from _rows(content, form, start, dialect)
    except FileRefused as error:
        raise FileRefused(f"{error}; it looks like {looks_like(content.head)}") from error


def format_in(content: Content, said: Format | None) -> Format:
    """Return what a file is, if that is not what it is said to be. Raises: FileRefused."""
    found = _FORMAT_OF_KIND.get(content.kind)
    form = said or found or "ndjson"
    # What may be CSV may be NDJSON too, with a first line that is broken.
    if found != form and content.head and (found in ("parquet", "ndjson") or form == "parquet"):
        looks = looks_like(content.head)
        raise FileRefused(f"the file is said to be {form}; it looks like {looks}")
    return form


def _rows(content: Content, form: Format, start: Start, dialect: Dialect) -> Iterator[Rows]:
    if not content.head:
        return iter(())
    if form == "parquet":
        if content.limit_bytes is None:
            return parquet_rows(content.searchable(), start)
        return _bounded(confined_rows(content.searchable(), start), content.limit_bytes)
    if form == "csv":
        return csv_rows(content.head, content.pieces(), start, dialect)
    if content.kind == "json" and is_document(content.head):
        content.keep()
        return document_rows(content.pieces, start)
    return ndjson_rows(content.pieces(), max(start, Start(content.mark_bytes)))


def _bounded(rows: Iterator[Rows], limit_bytes: int) -> Iterator[Rows]:
    """Yield rows as long as they are not more than is allowed. Raises: FileTooLarge."""
    size = 0
    for some in rows:
        size += sum(map(len, some.values))
        if size > limit_bytes:
            raise FileTooLarge(f"the rows of the file have more than {limit_bytes} bytes")
        yield some


def judged(rows: Rows, source: ImportedRow, most_refused: int | None = None) -> Place:
    """Judge rows; at most so many of those that are refused become records of the quarantine."""
    readings, rejected = decode_readings(rows.values)
    values = rows.values
    if not rejected and not rows.bad:
        keys = [reading.device_id.encode() for reading in readings]
        return Place(Batch(keys, values), rows.next_position, rows.next_line)
    refused = sorted(
        [(rows.lines[place], rows.values[place], error, None) for place, error in rejected]
        + [(bad.line, bad.raw, bad.error, bad.whole) for bad in rows.bad],
        key=lambda row: row[0],
    )
    is_cut = most_refused is not None and len(refused) > most_refused
    now = datetime.now(UTC)
    quarantined = [
        encode_quarantined(
            raw, error, ImportedRow(source.import_id, source.file, line), now, whole=whole
        )
        for line, raw, error, whole in refused[:most_refused]
    ]
    places = {place for place, _ in rejected}
    kept = [place for place in range(len(values)) if place not in places]
    keys = [reading.device_id.encode() for reading in readings]
    reasons = tuple(Refusal(line, error) for line, _, error, _ in refused[:_REASONS])
    if most_refused is not None and is_cut:
        last = refused[most_refused][0]
        count = sum(rows.lines[place] < last for place in kept)
        kept, keys = kept[:count], keys[:count]
    batch = Batch(keys, [values[place] for place in kept], quarantined)
    return Place(batch, rows.next_position, rows.next_line, reasons, is_cut)
