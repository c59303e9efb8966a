"""An answer piece by piece: rows as they come, in the format asked for, counted on the way."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from typing import Any

from api.query.formats.writer import RowsWriter, Summary


def pieces(
    slices: Generator[Sequence[Any], None, int],
    writer: RowsWriter,
    began_at: float,
    *,
    has_read_all: bool,
) -> Iterator[bytes]:
    """Yield the answer; empty pieces are pauses.

    `slices` yields rows and returns how many there are before offset and limit; `has_read_all`:
    all of those were read, not only the ones shown.
    """
    count = size = before_limit = 0

    def counted() -> Iterator[Sequence[Any]]:
        nonlocal before_limit
        before_limit = yield from slices

    yield writer.head()
    for rows in counted():
        piece = writer.rows(rows)
        count += len(rows)
        size += len(piece)
        yield piece
    rows_read = before_limit if has_read_all else count
    elapsed = time.perf_counter() - began_at
    yield writer.tail(Summary(count, before_limit, rows_read, size, elapsed))
