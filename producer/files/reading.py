"""From a file to batches for the importer: read, judge, and write down what is refused.

Guarantees: of a file none of whose rows is a reading nothing is handed out, unless so many of
them come first that they cannot be held back; what ends without a reading never ends well.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from typing import NamedTuple

from contract.quarantine import ImportedRow
from producer.errors import FileRefused, FileTooLarge, NoReading, TooManyRefused
from producer.files.cells import Dialect
from producer.files.confined import confined_rows
from producer.files.content import Content, looks_like
from producer.files.delimited import csv_rows
from producer.files.documents import document_rows, is_document
from producer.files.ndjson import ndjson_rows
from producer.files.rows import Format, Start
from producer.judging import BadRow, Batch, Rows, Sender, judge, quarantine

_FORMAT_OF_KIND: dict[str, Format] = {"parquet": "parquet", "json": "ndjson", "text": "csv"}
#: Refused rows that are held back until the first reading comes.
HELD_ROWS = 10_000
_HELD_BYTES = 8 << 20
_REASONS = 3


class Place(NamedTuple):
    """A batch of a file, and where the file continues behind it, at which line.

    `refused` has the first ones of those; `is_cut` says that there are more of them than are
    allowed, and the batch ends before those. `has_reading`: any row is one, whoever may write it.
    """

    batch: Batch
    next_position: int
    next_line: int
    refused: tuple[BadRow, ...] = ()
    is_cut: bool = False
    has_reading: bool = False


def read_places(
    content: Content,
    form: Format | None,
    start: Start,
    dialect: Dialect,
    source: ImportedRow,
    *,
    has_readings: bool = False,
    most_refused: int | None = None,
    sender: Sender | None = None,
) -> Iterator[Place]:
    """Yield a file's rows, judged; `source` has the names of import and file.

    `has_readings` says that rows before the start were readings; `most_refused` is how many
    rows may be refused, after which a stranger's file ends; `sender` may write some only.
    Raises: FileRefused, before anything is yielded; FileBroken; NoReading and TooManyRefused,
    behind all else.
    """
    held: list[Place] = []
    reasons: list[BadRow] = []
    refused = held_bytes = 0
    is_held = not has_readings
    for some in read_rows(content, form, start, dialect):
        most = None if most_refused is None else most_refused - refused
        place = judged(some, source, most, sender)
        refused += len(place.batch.quarantined)
        has_readings = has_readings or place.has_reading
        reasons += place.refused[: _REASONS - len(reasons)]
        if is_held:
            held.append(place)
            held_bytes += sum(map(len, place.batch.quarantined))
            is_held = not has_readings and refused <= HELD_ROWS and held_bytes <= _HELD_BYTES
        if not is_held:
            yield from held or (place,)
            held = []
        if place.is_cut and has_readings:
            raise TooManyRefused(f"more than {most_refused} rows are refused, {_why(reasons)}")
        if place.is_cut:
            break
    if refused and not has_readings:
        at_least = "" if most_refused is None or refused < most_refused else "at least "
        raise NoReading(
            f"none of its {at_least}{refused} rows is a reading, {_why(reasons)};"
            f" it looks like {looks_like(content.head)}"
        )


def _why(reasons: list[BadRow]) -> str:
    told = (f"line {row.line}: {row.error}" for row in reasons)
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
            # Imported where it is wanted: Arrow takes a good part of the API's start, which never
            # reads such a file in its own process.
            from producer.files.columnar import parquet_rows

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
            raise FileTooLarge(f"the rows of the file exceed {limit_bytes} bytes")
        yield some


def judged(
    rows: Rows,
    source: ImportedRow,
    most_refused: int | None = None,
    sender: Sender | None = None,
) -> Place:
    """Judge rows; at most so many of those that are refused become records of the quarantine."""
    found = judge(rows, sender)
    refused = found.refused
    is_cut = most_refused is not None and len(refused) > most_refused
    if most_refused is not None and is_cut:
        end = bisect_left(rows.lines, refused[most_refused].line)
        before = rows._replace(values=rows.values[:end], lines=rows.lines[:end])
        found = judge(before, sender)
    batch = Batch(found.keys, found.values, quarantine(refused[:most_refused], source))
    first, has_reading = tuple(refused[:_REASONS]), found.has_reading
    return Place(batch, rows.next_position, rows.next_line, first, is_cut, has_reading)
