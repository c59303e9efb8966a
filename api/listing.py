"""Rows of the listing, in slices: in order of devices or of totals, never all at once.

Works on a view, or on a snapshot of one where the reader lets others run between slices.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple, Protocol

import msgspec

from api.ordering import SortedKeys
from api.totals import served_total
from contract.changelog import decode_total
from contract.fold import sum_exactly

#: Rows made in one go: about 1 ms.
SLICE_ROWS = 1_000

Rank = tuple[float, bytes]


class Row(msgspec.Struct, gc=False, frozen=True):
    """A row as it is served."""

    device_id: str
    total_energy_consumed: int | float | None


class Query(NamedTuple):
    """What is asked for; `device_ids` None: all; `limit` None: no limit."""

    device_ids: Sequence[str] | None = None
    by_total: bool = False
    descending: bool = False
    limit: int | None = None
    offset: int = 0


class Source(Protocol):
    """A view or a snapshot of one."""

    devices: int
    keys: SortedKeys

    @property
    def has_exact_keys(self) -> bool:
        """Whether each of `keys` is visible."""
        ...

    def parts_of(self, key: bytes) -> list[bytes]:
        """Return the part-totals of a device."""
        ...


def rows_of(source: Source, query: Query) -> Iterator[list[Row]]:
    """Yield the rows asked for, in order; empty lists are pauses."""
    if query.device_ids is not None:
        known = sorted({device_id.encode() for device_id in query.device_ids})
        yield from _chosen(source, [key for key in known if source.parts_of(key)], query)
    elif query.by_total:
        yield from _in_order_of_totals(source, _all_keys(source, descending=False), query)
    else:
        yield from _in_order_of_devices(source, query)


def matching(source: Source, query: Query) -> int:
    """Return how many rows there are before offset and limit."""
    if query.device_ids is None:
        return source.devices
    return sum(1 for each in set(query.device_ids) if source.parts_of(each.encode()))


def _chosen(source: Source, keys: list[bytes], query: Query) -> Iterator[list[Row]]:
    if query.by_total:
        yield from _in_order_of_totals(source, iter([keys]), query)
        return
    if query.descending:
        keys.reverse()
    stop = None if query.limit is None else query.offset + query.limit
    keys = keys[query.offset : stop]
    for place in range(0, len(keys), SLICE_ROWS):
        yield [_row(source, key) for key in keys[place : place + SLICE_ROWS]]


def _in_order_of_devices(source: Source, query: Query) -> Iterator[list[Row]]:
    left = source.devices if query.limit is None else query.limit
    skip = query.offset
    start = None
    if source.has_exact_keys:
        start = source.keys.at(skip, descending=query.descending)
        skip = 0
        if start is None:
            return
    for keys in _all_keys(source, descending=query.descending, start=start):
        parts = [(key, parts) for key in keys if (parts := source.parts_of(key))]
        rows = [Row(key.decode(), served_total(some)) for key, some in parts[skip : skip + left]]
        skip = max(0, skip - len(parts))
        left -= len(rows)
        yield rows
        if left <= 0:
            return


def _all_keys(
    source: Source, *, descending: bool, start: bytes | None = None
) -> Iterator[list[bytes]]:
    """Yield all keys in order, also while keys are added between slices."""
    following = source.keys.first(descending=descending) if start is None else start
    while following is not None:
        keys, following = source.keys.slice_from(following, descending=descending)
        for place in range(0, len(keys), SLICE_ROWS):
            yield keys[place : place + SLICE_ROWS]


def _in_order_of_totals(
    source: Source, slices: Iterator[list[bytes]], query: Query
) -> Iterator[list[Row]]:
    """Rank slice by slice, each cut to what can be asked for, then merge the ranks."""
    stop = None if query.limit is None else query.offset + query.limit
    sign = -1 if query.descending else 1
    runs: list[list[Rank]] = []
    for keys in slices:
        run = [(sign * _height(parts), key) for key in keys if (parts := source.parts_of(key))]
        run.sort()
        runs.append(run[:stop])
        yield []
    ranked = islice(heapq.merge(*runs), query.offset, stop)
    while some := list(islice(ranked, SLICE_ROWS)):
        yield [_row(source, key) for _, key in some]


def _height(parts: Sequence[bytes]) -> float:
    """Return the served total to rank by; beyond Float64's range an infinity."""
    total = served_total(parts)
    if total is not None:
        return total
    return (
        float("inf") if sum_exactly(decode_total(part)[0] for part in parts) > 0 else float("-inf")
    )


def _row(source: Source, key: bytes) -> Row:
    return Row(key.decode(), served_total(source.parts_of(key)))
