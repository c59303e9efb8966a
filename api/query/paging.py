"""Rows from `offset` on, at most `limit`, in slices: of all that there are, only these are made."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from itertools import islice
from typing import TypeVar

#: Rows made, or passed over, in one go.
SLICE_ROWS = 1_000

Cell = TypeVar("Cell")
Row = TypeVar("Row")


def paged(
    cells: Iterable[Cell], row_of: Callable[[Cell], Row], offset: int, limit: int | None
) -> Generator[list[Row], None, int]:
    """Yield the rows of some cells and return how many cells there are; empty lists are pauses."""
    waiting = iter(cells)
    seen = 0
    while some := list(islice(waiting, SLICE_ROWS)):
        begin = max(0, offset - seen)
        end = None if limit is None else max(0, offset + limit - seen)
        yield [row_of(cell) for cell in some[begin:end]]
        seen += len(some)
    return seen
