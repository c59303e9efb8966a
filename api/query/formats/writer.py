"""What every format offers: a writer of one answer, fed with rows as they come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol


class Summary(NamedTuple):
    """What is known about a listing once all its rows are written."""

    rows: int
    rows_before_limit: int
    rows_read: int
    bytes_read: int
    elapsed_seconds: float


class RowsWriter(Protocol):
    """Writes one listing: a head, rows as they come, a tail."""

    def head(self) -> bytes:
        """Return what precedes the rows."""

    def rows(self, rows: Sequence[Any]) -> bytes:
        """Return some more rows; what is not whole yet may be kept back."""

    def tail(self, summary: Summary) -> bytes:
        """Return what was kept back, and what follows the rows."""
