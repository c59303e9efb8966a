"""Rows of the listing, in slices: in order of devices or of totals, never all at once.

Works on a view, or on a snapshot of one where the reader lets others run between slices.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

import msgspec

from api.leaders import KEPT, Orders
from api.ordering import SortedKeys
from api.ranking import ranked
from api.totals import Served, served_totals

#: Rows made in one go: about 1 ms.
SLICE_ROWS = 1_000


class Row(msgspec.Struct, gc=False, frozen=True):
    """A row as it is served."""

    device_id: str
    total_energy_consumed: Served


class Query(NamedTuple):
    """What is asked for; `device_ids` None: all; `limit` None: no limit."""

    device_ids: Sequence[str] | None = None
    by_total: bool = False
    descending: bool = False
    limit: int | None = None
    offset: int = 0

    @property
    def stop(self) -> int | None:
        """The place behind the last row, None if there is no limit."""
        return None if self.limit is None else self.offset + self.limit


class Source(Protocol):
    """A view or a snapshot of one."""

    devices: int
    keys: SortedKeys

    @property
    def has_exact_keys(self) -> bool:
        """Whether each of `keys` is visible."""
        ...

    def columns_of(self, keys: Sequence[bytes]) -> list[list[bytes | None]]:
        """Return the part-totals of devices, a list for each partition."""
        ...


class OrderedView(Source, Protocol):
    """A view that keeps the first devices in order."""

    orders: Orders


def rows_of(source: Source, query: Query) -> Iterator[list[Row]]:
    """Yield the rows asked for, in order; empty lists are pauses."""
    if query.by_total:
        asked = all_keys(source) if query.device_ids is None else _sliced(_chosen(query))
        for keys in ranked(source, asked, query.descending, query.offset, query.stop):
            yield rows_at(source, keys) if keys else []
    elif query.device_ids is not None:
        chosen = _chosen(query)
        if query.descending:
            chosen.reverse()
        yield from _page((rows_at(source, keys) for keys in _sliced(chosen)), query)
    elif source.has_exact_keys:
        yield from _exact_page(source, query)
    else:
        slices = all_keys(source, descending=query.descending)
        yield from _page((rows_at(source, keys) for keys in slices), query)


def is_among_leaders(query: Query) -> bool:
    """Whether the rows asked for are of those that a view keeps in order."""
    return (
        query.by_total and query.device_ids is None and query.stop is not None
    ) and query.stop <= KEPT


async def leading_rows(view: OrderedView, query: Query) -> list[Row]:
    """Return the rows of a query that `is_among_leaders`, as the view shows them at the end."""
    stop = query.stop or 0
    keys = await view.orders.first(view, lambda: all_keys(view), query.descending, stop)
    return rows_at(view, keys[query.offset :])


def matching(source: Source, query: Query) -> int:
    """Return how many rows there are before offset and limit."""
    if query.device_ids is None:
        return source.devices
    return sum(len(rows_at(source, keys)) for keys in _sliced(_chosen(query)))


def _chosen(query: Query) -> list[bytes]:
    return sorted({device_id.encode() for device_id in query.device_ids or ()})


def _page(slices: Iterable[list[Row]], query: Query) -> Iterator[list[Row]]:
    """Pass over the rows before the offset, end at the limit."""
    place = 0
    for rows in slices:
        begin = max(0, query.offset - place)
        place += len(rows)
        yield rows[begin:] if query.stop is None else rows[begin : query.stop - place + len(rows)]
        if query.stop is not None and place >= query.stop:
            return


def _exact_page(source: Source, query: Query) -> Iterator[list[Row]]:
    """Go to the first row at once, where places among the keys are places among the rows.

    From there on rows are counted, not keys: devices that appear meanwhile are among the keys.
    """
    start = source.keys.at(query.offset, descending=query.descending)
    left = source.devices if query.limit is None else query.limit
    if start is None:
        return
    for keys in all_keys(source, descending=query.descending, start=start):
        rows = rows_at(source, keys)[:left]
        yield rows
        left -= len(rows)
        if left <= 0:
            return


def rows_at(source: Source, keys: Sequence[bytes]) -> list[Row]:
    """Return the rows of those devices that are there, in this order."""
    there, totals = served_totals(keys, source.columns_of(keys))
    return list(map(Row, map(bytes.decode, there), totals))


def all_keys(
    source: Source, *, descending: bool = False, start: bytes | None = None
) -> Iterator[list[bytes]]:
    """Yield all keys in order, also while keys are added between slices."""
    following = source.keys.first(descending=descending) if start is None else start
    while following is not None:
        keys, following = source.keys.slice_from(following, descending=descending)
        yield from _sliced(keys)


def _sliced(keys: list[bytes]) -> Iterator[list[bytes]]:
    for place in range(0, len(keys), SLICE_ROWS):
        yield keys[place : place + SLICE_ROWS]
