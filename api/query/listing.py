"""What is asked of the totals, and its rows in slices from one snapshot of them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from api.query.paging import SLICE_ROWS, paged
from api.query.table import Table
from api.query.totals import EXACT_TOTALS, TOTALS, ExactRow, Row
from api.view.stored_total import StoredTotal, exact_total, rank_of, served_rank, served_total
from api.view.totals_copy.snapshot import TotalsSnapshot

#: Rows that are passed over at once: less than 1 ms.
PASSED_OVER = 4_000

#: All of one kind, as the query's `exact` says.
Rows = list[Row] | list[ExactRow]
Cell = TypeVar("Cell")


class Query(NamedTuple):
    """What is asked for; `device_ids` None: all; `limit` None: no limit."""

    device_ids: tuple[str, ...] | None = None
    by_total: bool = False
    descending: bool = False
    limit: int | None = None
    offset: int = 0
    exact: bool = False

    @property
    def table(self) -> Table:
        """The columns of the rows."""
        return EXACT_TOTALS if self.exact else TOTALS

    def is_short(self, totals: TotalsSnapshot) -> bool:
        """Whether the answer takes a few milliseconds to make."""
        if self.device_ids is not None:
            return len(self.device_ids) <= SLICE_ROWS
        if self.limit is not None and self.limit <= SLICE_ROWS and self.offset <= PASSED_OVER:
            return True
        return totals.devices <= SLICE_ROWS

    def slices(self, totals: TotalsSnapshot) -> Generator[Rows, None, int]:
        """Yield the rows and return how many there are before offset and limit."""
        if self.device_ids is not None:
            row_of: Callable[[tuple[bytes, StoredTotal]], Any] = _exact_row if self.exact else _row
            return (yield from paged(self._chosen(totals), row_of, self.offset, self.limit))
        if self.by_total:
            ranked = totals.by_total(descending=self.descending, offset=self.offset)
            for some in _sliced(ranked, self.limit):
                if self.exact:
                    yield list(map(_exact_row, totals.many(device for device, _ in some)))
                else:
                    yield list(map(_ranked_row, some))
        else:
            rows = totals.by_device(descending=self.descending, offset=self.offset)
            for known in _sliced(rows, self.limit):
                yield list(map(_exact_row, known)) if self.exact else list(map(_row, known))
        return totals.devices

    def _chosen(self, totals: TotalsSnapshot) -> list[tuple[bytes, StoredTotal]]:
        """Return the devices asked for by id, in order."""
        assert self.device_ids is not None
        devices = sorted({device_id.encode() for device_id in self.device_ids})
        return self.ordered(totals.many(devices))

    def ordered(self, rows: list[tuple[bytes, StoredTotal]]) -> list[tuple[bytes, StoredTotal]]:
        """Put rows in the order asked for that are in order of their ids."""
        if self.by_total:
            sign = -1.0 if self.descending else 1.0
            # Stable, so ties stay in order of the devices.
            return sorted(rows, key=lambda row: sign * rank_of(row[1]))
        return rows[::-1] if self.descending else rows


def _sliced(cells: Iterable[Cell], limit: int | None) -> Generator[list[Cell], None, None]:
    waiting = islice(cells, limit)
    while some := list(islice(waiting, SLICE_ROWS)):
        yield some


def _row(each: tuple[bytes, StoredTotal]) -> Row:
    return Row(each[0].decode(), served_total(each[1]))


def _exact_row(each: tuple[bytes, StoredTotal]) -> ExactRow:
    return exact_total(*each)


def _ranked_row(each: tuple[bytes, float]) -> Row:
    return Row(each[0].decode(), served_rank(each[1]))
