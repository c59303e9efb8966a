"""Parquet: the four columns, some thousand rows at a time; positions are rows.

A double means its shortest decimal form, a float32 the shortest of its own type; integers and
decimals are exact. A timestamp without a zone is UTC. What is null or no number is left to the
validator. Guarantees: of a row group of any size only the pages that are being read are in memory.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from contract.reading import COLUMNS
from producer.errors import FileBroken, FileRefused
from producer.files.delimited import json_value
from producer.files.rows import SLICE_ROWS, BadRow, Rows, Start, unreadable

_BUFFER_BYTES = 1 << 20


def parquet_rows(file: BinaryIO, start: Start) -> Iterator[Rows]:
    """Yield the values of a file that can be searched.

    Raises: FileRefused, before anything is yielded; FileBroken.
    """
    try:
        parquet = pq.ParquetFile(file, buffer_size=_BUFFER_BYTES, pre_buffer=False)
        _check_columns(parquet.schema_arrow)
    except (pa.ArrowException, OSError) as error:
        raise FileRefused(f"no Parquet file that can be read: {error}") from error
    number = start.position
    groups, skip = _groups_from(parquet, number)
    batches = parquet.iter_batches(
        SLICE_ROWS, row_groups=groups, columns=list(COLUMNS), use_threads=False
    )
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
        batch, skip = batch.slice(skip), 0
        yield _rows_of(batch, number)
        number += batch.num_rows


def row_count(file: BinaryIO) -> int:
    """Return how many rows a file has. Raises: FileRefused."""
    try:
        return int(pq.ParquetFile(file, pre_buffer=False).metadata.num_rows)
    except (pa.ArrowException, OSError) as error:
        raise FileRefused(f"no Parquet file that can be read: {error}") from error
    finally:
        file.seek(0)


def _check_columns(schema: pa.Schema) -> None:
    for column in COLUMNS:
        places = schema.get_all_field_indices(column)
        if len(places) != 1:
            problem = "has no column" if not places else f"has {len(places)} columns"
            raise FileRefused(f"the Parquet file {problem} {column}")
        kind = schema.field(places[0]).type
        if not _is_readable(column, kind):
            raise FileRefused(
                f"column {column} of the Parquet file is {kind}, which is no {column}"
            )


def _is_readable(column: str, kind: pa.DataType) -> bool:
    types = pa.types
    if types.is_dictionary(kind):
        kind = kind.value_type
    if types.is_string(kind) or types.is_large_string(kind) or types.is_null(kind):
        return True
    if column == "timestamp":
        return types.is_timestamp(kind)
    if column == "energy_consumed":
        return types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)
    return False


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


def _rows_of(batch: pa.RecordBatch, number: int) -> Rows:
    columns = [_texts(batch.column(name)) for name in COLUMNS]
    values, lines, bad = [], [], []
    for line, cells in enumerate(zip(*columns, strict=True), number + 1):
        if any(type(cell) is bytes for cell in cells):
            raw = json.dumps([c.decode("latin-1") if type(c) is bytes else c for c in cells])
            bad.append(BadRow(line, raw.encode(), unreadable("has text that is not UTF-8")))
        else:
            values.append(json_value(*cells))
            lines.append(line)
    end = number + batch.num_rows
    return Rows(values, lines, bad, end, end + 1)


def _texts(column: Any) -> list[Any]:
    """Return a column as texts and None; bytes where it is no UTF-8."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.dictionary_decode()
        kind = column.type
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        column = pc.cast(column, pa.timestamp(kind.unit, "UTC"))
    if pa.types.is_float16(kind):
        column = pc.cast(column, pa.float32())
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        column = pc.cast(column, pa.string())
    try:
        return list(column.to_pylist())
    except UnicodeDecodeError:
        return [_text(raw) for raw in column.cast(pa.large_binary()).to_pylist()]


def _text(raw: bytes | None) -> str | bytes | None:
    try:
        return None if raw is None else raw.decode()
    except UnicodeDecodeError:
        return raw
