"""Parquet: the four columns, some thousand rows at a time; positions are rows.

A double means its shortest decimal form, a float32 the shortest of its own type; integers and
decimals are exact. A timestamp without a zone is UTC. What is null or no number is left to the
validator. Names compare as those of a CSV header. Guarantees: of a row group of any size only
the pages that are being read are in memory; texts stay as often as the file has them, and what
they come to row by row is handed on in slices of bounded bytes. How large a page becomes is the
file's to say: strangers' files are read in a process of its own (confined.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from contract.decoding import COLUMNS, VALUE_BYTES
from producer.errors import FileBroken, FileRefused
from producer.files.cells import json_value
from producer.files.rows import SLICE_BYTES, SLICE_ROWS, Start
from producer.judging import BadRow, Rows, unreadable

_BUFFER_BYTES = 1 << 20


def parquet_rows(file: BinaryIO, start: Start) -> Iterator[Rows]:
    """Yield the values of a file that can be searched.

    Raises: FileRefused, before anything is yielded; FileBroken.
    """
    try:
        names = _columns_of(pq.read_schema(file))
        file.seek(0)
        parquet = pq.ParquetFile(
            file, buffer_size=_BUFFER_BYTES, pre_buffer=False, read_dictionary=names
        )
    except (pa.ArrowException, OSError) as error:
        raise FileRefused(f"not a readable Parquet file: {error}") from error
    number = start.position
    groups, skip = _groups_from(parquet, number)
    batches = parquet.iter_batches(SLICE_ROWS, row_groups=groups, columns=names, use_threads=False)
    while True:
        try:
            batch = next(batches, None)
        except (pa.ArrowException, OSError) as error:
            raise FileBroken(f"the Parquet file is corrupt: {error}") from error
        if batch is None:
            return
        if skip >= batch.num_rows:
            skip -= batch.num_rows
            continue
        batch, skip = batch.slice(skip).select(names), 0
        for some in _slices(batch):
            yield _rows_of(some, number)
            number += some.num_rows


def _columns_of(schema: pa.Schema) -> list[str]:
    """Return what the file calls the four columns. Raises: FileRefused."""
    names = []
    for column in COLUMNS:
        fields = [field for field in schema if field.name.strip().lower() == column]
        if len(fields) != 1:
            problem = "has no column" if not fields else f"has {len(fields)} columns"
            found = ", ".join(schema.names)
            raise FileRefused(f"the Parquet file {problem} {column}; it has {found}")
        (field,) = fields
        if not _is_readable(column, field.type):
            raise FileRefused(
                f"column {column} of the Parquet file is {field.type}, which cannot be {column}"
            )
        names.append(field.name)
    return names


def _is_readable(column: str, kind: pa.DataType) -> bool:
    types = pa.types
    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    if types.is_dictionary(kind):
        kind = kind.value_type
    if _is_text(kind) or types.is_null(kind):
        return True
    if column == "timestamp":
        return types.is_timestamp(kind)
    if column == "energy_consumed":
        return types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)
    return False


def _is_text(kind: pa.DataType) -> bool:
    """Whether it may hold text; whether it is UTF-8 is seen in each cell."""
    types = pa.types
    return (
        types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_string_view(kind)
        or types.is_binary(kind)
        or types.is_large_binary(kind)
        or types.is_binary_view(kind)
        or types.is_fixed_size_binary(kind)
    )


def _groups_from(parquet: pq.ParquetFile, row: int) -> tuple[list[int], int]:
    """Return the row groups from a row on, and how many rows of the first to pass over."""
    first = 0
    while first < parquet.num_row_groups:
        rows = parquet.metadata.row_group(first).num_rows
        if row < rows:
            break
        row -= rows
        first += 1
    return list(range(first, parquet.num_row_groups)), row


def _slices(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Halve a batch until what its texts come to, row by row, is little enough."""
    if batch.num_rows <= 1 or sum(map(_text_bytes, batch.columns)) <= SLICE_BYTES:
        yield batch
        return
    half = batch.num_rows // 2
    yield from _slices(batch.slice(0, half))
    yield from _slices(batch.slice(half))


def _text_bytes(column: Any) -> int:
    """Return how many bytes the texts of a column have, each as often as it stands in a row."""
    if not pa.types.is_dictionary(column.type):
        return int(column.nbytes)
    lengths = pc.binary_length(column.dictionary)
    return pc.sum(pc.take(lengths, column.indices)).as_py() or 0


def _rows_of(batch: pa.RecordBatch, number: int) -> Rows:
    end = number + batch.num_rows
    if batch.num_rows == 1 and sum(map(_text_bytes, batch.columns)) > SLICE_BYTES:
        error = unreadable(f"more than {VALUE_BYTES} bytes")
        return Rows((), (), (BadRow(end, b"", error),), end, end + 1)
    columns = list(map(_texts, batch.columns))
    values, lines, bad = [], [], []
    for line, cells in enumerate(zip(*columns, strict=True), number + 1):
        if any(type(cell) is bytes for cell in cells):
            raw = json.dumps([c.decode("latin-1") if type(c) is bytes else c for c in cells])
            bad.append(BadRow(line, raw.encode(), unreadable("has text that is not UTF-8")))
        else:
            values.append(json_value(*cells))
            lines.append(line)
    return Rows(values, lines, bad, end, end + 1)


def _texts(column: Any) -> list[Any]:
    """Return a column as texts and None; bytes where it is no UTF-8."""
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    if _is_text(kind):
        return list(map(_text, pc.cast(column, pa.large_binary()).to_pylist()))
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        column = pc.cast(column, pa.timestamp(kind.unit, "UTC"))
    if pa.types.is_float16(kind):
        column = pc.cast(column, pa.float32())
    return list(pc.cast(column, pa.string()).to_pylist())


def _text(raw: bytes | None) -> str | bytes | None:
    try:
        return None if raw is None else raw.decode()
    except UnicodeDecodeError:
        return raw
