"""From a file to batches for the importer: read, judge, and write down what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import PurePath
from typing import BinaryIO, NamedTuple

from contract.quarantine import ImportedRow, encode_quarantined
from contract.reading import decode_readings
from producer.errors import FileRefused
from producer.files.columnar import parquet_rows
from producer.files.delimited import Dialect, csv_rows
from producer.files.inflating import PIECE_BYTES, Compression, compression_of, inflated
from producer.files.ndjson import ndjson_rows
from producer.files.rows import Format, Rows, Start
from producer.import_writer import Batch

_SUFFIXES: dict[str, Format] = {
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".json": "ndjson",
    ".csv": "csv",
    ".parquet": "parquet",
}
_COMPRESSED: dict[str, Compression] = {".gz": "gzip", ".zst": "zstd"}
_PARQUET_MAGIC = b"PAR1"


class Place(NamedTuple):
    """A batch of a file, where the file goes on behind it, and at which line."""

    batch: Batch
    next_position: int
    next_line: int


def format_of(name: str) -> Format | None:
    """Tell the format from a file's name, None if that says nothing."""
    path = PurePath(name)
    if path.suffix in _COMPRESSED:
        path = path.with_suffix("")
    return _SUFFIXES.get(path.suffix)


def read_rows(
    file: BinaryIO, name: str, form: Format, start: Start, dialect: Dialect
) -> Iterator[Rows]:
    """Yield the rows of a file, which stands at its first byte; of a Parquet file it is searched.

    Raises: FileRefused if it is not what its name says, before anything is yielded; FileBroken.
    """
    if form == "parquet":
        return parquet_rows(file, start)
    head = file.read(PIECE_BYTES)
    found = compression_of(head)
    suffix = PurePath(name).suffix
    if head and found != _COMPRESSED.get(suffix, "none" if suffix in _SUFFIXES else found):
        raise FileRefused(f"the file is compressed with {found}, which its name does not say")
    if head.startswith(_PARQUET_MAGIC):
        raise FileRefused(f"the file is Parquet, not {form}")
    pieces = inflated(head, file, found)
    return csv_rows(pieces, start, dialect) if form == "csv" else ndjson_rows(pieces, start)


def judged(rows: Rows, import_id: str, file: str) -> Place:
    """Judge rows; what is refused becomes records of the quarantine."""
    readings, rejected = decode_readings(rows.values)
    values = rows.values
    quarantined: list[bytes] = []
    if rejected or rows.bad:
        now = datetime.now(UTC)
        refused = {place for place, _ in rejected}
        values = [value for place, value in enumerate(values) if place not in refused]
        quarantined = [
            encode_quarantined(
                rows.values[place], error, ImportedRow(import_id, file, rows.lines[place]), now
            )
            for place, error in rejected
        ]
        quarantined += [
            encode_quarantined(
                bad.raw, bad.error, ImportedRow(import_id, file, bad.line), now, whole=bad.whole
            )
            for bad in rows.bad
        ]
    keys = [reading.device_id.encode() for reading in readings]
    return Place(Batch(keys, values, quarantined), rows.next_position, rows.next_line)
