"""Rows of the listing, in slices: in order of devices or of totals, never all at once.

Works on a view, or on a snapshot of one where the reader lets others run between slices.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, Protocol

from api.query.totals import Row
from api.view.device_totals import served_totals
from api.view.sort_by_total import Ranking
from api.view.sorted_keys import SortedKeys
from api.view.top_n import KEPT, Orders

#: Rows made in one go: about 1 ms.
SLICE_ROWS = 1_000
_BESIDE = ThreadPoolExecutor(1, "ranking")


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


class Order(Protocol):
    """Devices in order of their totals: all that are asked for, or as many as are wanted."""

    def slices(self, offset: int, stop: int | None) -> Iterator[list[bytes]]:
        """Yield the keys from place to place in the order."""
        ...

    def __len__(self) -> int:
        """Return the number of devices."""
        ...


class Leading:
    """The first devices of an order, of which there are `count`."""

    def __init__(self, keys: Sequence[bytes], count: int) -> None:
        """Keep them."""
        self._keys = keys
        self._count = count

    def __len__(self) -> int:
        """Return how many there are, not only the first."""
        return self._count

    def slices(self, offset: int, stop: int | None) -> Iterator[list[bytes]]:
        """Yield the keys from place to place."""
        yield from _sliced(list(self._keys[offset:stop]))


def rows_of(
    source: Source, query: Query, order: Order | None = None
) -> Generator[list[Row], None, int]:
    """Yield the rows asked for, in order, and return how many there are before offset and limit.

    Empty lists are pauses. `order`: by totals, where it is known already.
    """
    if query.by_total:
        order = ranked(source, query) if order is None else order
        for keys in order.slices(query.offset, query.stop):
            yield rows_at(source, keys)
        return len(order)
    if query.device_ids is not None:
        return (yield from _page((rows_at(source, keys) for keys in _asked(source, query)), query))
    if source.has_exact_keys:
        yield from _exact_page(source, query)
    else:
        slices = all_keys(source, descending=query.descending)
        yield from _page((rows_at(source, keys) for keys in slices), query)
    return source.devices


def ranked(source: Source, query: Query) -> Ranking:
    """Return the order by totals at once: for few devices."""
    ranking = Ranking(descending=query.descending)
    for keys in _asked(source, query):
        ranking.add(source, keys)
    ranking.sort()
    return ranking


async def ranked_slowly(
    source: Source, query: Query, pause: Callable[[], Awaitable[None]]
) -> Ranking:
    """Return the order by totals of a snapshot; pauses after each slice, sorts in a thread."""
    ranking = Ranking(descending=query.descending)
    for keys in _asked(source, query):
        ranking.add(source, keys)
        await pause()
    await asyncio.get_running_loop().run_in_executor(_BESIDE, ranking.sort)
    return ranking


def is_among_leaders(query: Query) -> bool:
    """Whether the rows asked for are of those that a view keeps in order."""
    return (
        query.by_total and query.device_ids is None and query.stop is not None
    ) and query.stop <= KEPT


async def leading(view: OrderedView, query: Query) -> Leading:
    """Return the order of a query that `is_among_leaders`, as the view shows it at the end."""
    stop = query.stop or 0
    keys = await view.orders.first(view, lambda: all_keys(view), query.descending, stop)
    return Leading(keys, view.devices)


def _asked(source: Source, query: Query) -> Iterator[list[bytes]]:
    """Yield the keys asked for in slices: in order, descending only where that is asked for."""
    if query.device_ids is None:
        return all_keys(source)
    chosen = sorted({device_id.encode() for device_id in query.device_ids})
    if query.descending and not query.by_total:
        chosen.reverse()
    return _sliced(chosen)


def _page(slices: Iterable[list[Row]], query: Query) -> Generator[list[Row], None, int]:
    """Pass over the rows before the offset; end at the limit, or count on where ids are given.

    Returns the number of rows seen.
    """
    place = 0
    for rows in slices:
        begin = max(0, query.offset - place)
        place += len(rows)
        if query.stop is None:
            yield rows[begin:]
        else:
            yield rows[begin : max(0, query.stop - place + len(rows))]
            if place >= query.stop and query.device_ids is None:
                break
    return place


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
