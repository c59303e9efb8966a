"""Devices in order of their totals, all of them: for listings that no index has.

One pass collects heights and keys (16 bytes for each device), Arrow sorts beside the event
loop, and the order is handed out in slices. Devices of the same total come in order of their
ids, whichever way totals are ordered.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute

from api.totals import height, served_totals

SLICE_KEYS = 1_000
_BESIDE = ThreadPoolExecutor(1, "ranking")


class Totals(Protocol):
    """What has the totals: a view or a snapshot of one."""

    def columns_of(self, keys: Sequence[bytes]) -> list[list[bytes | None]]:
        """Return the part-totals of devices, a list for each partition."""
        ...


def ranked(
    source: Totals, slices: Iterable[list[bytes]], descending: bool, offset: int, stop: int | None
) -> Iterator[list[bytes]]:
    """Yield the keys in order of their totals, from place to place; empty lists are pauses.

    `slices` are in order of the keys.
    """
    keys: list[bytes] = []
    heights = array("d")
    sign = -1.0 if descending else 1.0
    for some in slices:
        for key, each in heights_of(source, some):
            keys.append(key)
            heights.append(sign * each)
        yield []
    if len(keys) <= SLICE_KEYS:
        order = sorted(range(len(keys)), key=heights.__getitem__)
        yield [keys[place] for place in order[offset:stop]]
        return
    sorting = _BESIDE.submit(_sorted, heights)
    while not sorting.done():
        yield []
    places = sorting.result()[offset:stop]
    for begin in range(0, len(places), SLICE_KEYS):
        some_places: list[Any] = places[begin : begin + SLICE_KEYS].to_pylist()
        yield [keys[place] for place in some_places]


def heights_of(source: Totals, keys: Sequence[bytes]) -> Iterator[tuple[bytes, float]]:
    """Yield the devices that are there, and what they are ranked by."""
    there, totals = served_totals(keys, source.columns_of(keys))
    if None not in totals:
        yield from zip(there, totals, strict=True)
        return
    for key, total in zip(there, totals, strict=True):
        parts = [column[0] for column in source.columns_of([key])]
        yield key, height(total, [part for part in parts if part is not None])


def _sorted(heights: array[float]) -> pa.Array[pa.UInt64Scalar]:
    """Return the places in order; stable, so ties stay in order of the keys."""
    column = pa.Array.from_buffers(pa.float64(), len(heights), [None, pa.py_buffer(heights)])
    return pyarrow.compute.array_sort_indices(column)
