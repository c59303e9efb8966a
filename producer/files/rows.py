"""What files are read as: formats, slices, and where to begin."""

from __future__ import annotations

from typing import Literal, NamedTuple

Format = Literal["ndjson", "csv", "parquet"]

#: Rows handed on at once: what fits into one transaction of an import.
SLICE_ROWS = 5_000
SLICE_BYTES = 4 << 20


class Start(NamedTuple):
    """Where to begin to read: as `Rows.next_position` and `next_line` said."""

    position: int = 0
    line: int = 1
