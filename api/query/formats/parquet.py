"""Rows as Parquet: a row group for every few thousand rows, written as they come.

Memory is that of one row group. Compressed with Snappy, which every reader knows.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import IO, Any, cast

import pyarrow as pa
from pyarrow.parquet import ParquetWriter

from api.query.formats.writer import Summary
from api.query.table import Table

#: Written in one go: 1 to 2 ms.
GROUP_ROWS = 10_000

_STRING: pa.DataType = pa.string()
#: The columns' types in Arrow; a Float64 is null where the number is beyond it.
_ARROW: dict[str, tuple[pa.DataType, bool]] = {
    "String": (_STRING, False),
    "Nullable(String)": (_STRING, True),
    "Float64": (pa.float64(), True),
    "Nullable(Float64)": (pa.float64(), True),
    "UInt64": (pa.uint64(), False),
}
#: Arrow's own pools keep what they once had.
_POOL = pa.system_memory_pool()


class ParquetRows:
    """Writes one listing."""

    def __init__(self, table: Table) -> None:
        self._columns = table.columns
        self._schema = pa.schema(
            [pa.field(each.name, *_ARROW[each.type]) for each in table.columns]
        )
        self._sink = _Sink()
        self._writer = ParquetWriter(
            cast("IO[bytes]", self._sink),
            self._schema,
            compression="snappy",
            use_dictionary=False,
            memory_pool=_POOL,
        )
        self._rows: list[Any] = []

    def head(self) -> bytes:
        """Return the magic bytes."""
        return self._sink.take()

    def rows(self, rows: Sequence[Any]) -> bytes:
        """Return row groups as they get full."""
        self._rows += rows
        if len(self._rows) >= GROUP_ROWS:
            self._write_group()
        return self._sink.take()

    def tail(self, summary: Summary) -> bytes:
        """Return the last row group and the footer."""
        if self._rows:
            self._write_group()
        self._writer.close()
        return self._sink.take()

    def _write_group(self) -> None:
        columns: list[pa.Array[Any]] = [
            pa.array(map(column.get, self._rows), field.type, memory_pool=_POOL)
            for column, field in zip(self._columns, self._schema, strict=True)
        ]
        self._writer.write_table(pa.Table.from_arrays(columns, schema=self._schema))
        self._rows = []


class _Sink(io.RawIOBase):
    """Takes what is written, until somebody takes it away."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._position = 0

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        piece = bytes(data)  # type: ignore[call-overload]  # Any buffer: Arrow's, too.
        self._pieces.append(piece)
        self._position += len(piece)
        return len(piece)

    def tell(self) -> int:
        return self._position

    def take(self) -> bytes:
        taken = b"".join(self._pieces)
        self._pieces.clear()
        return taken
