"""Devices in order of their totals, all of them: for listings that no index has.

One pass collects heights and keys (16 bytes for each device), Arrow sorts, and the order is
handed out in slices. Devices of the same total come in order of their ids, whichever way totals
are ordered.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute

from api.view.device_totals import height, served_totals

SLICE_KEYS = 1_000


class Totals(Protocol):
    """What has the totals: a view or a snapshot of one."""

    def columns_of(self, keys: Sequence[bytes]) -> list[list[bytes | None]]:
        """Return the part-totals of devices, a list for each partition."""
        ...


class Ranking:
    """An order of devices: `add` them in order of their keys, `sort`, and take `slices`."""

    def __init__(self, *, descending: bool) -> None:
        """Begin without a device."""
        self._sign = -1.0 if descending else 1.0
        self._keys: list[bytes] = []
        self._heights = array("d")
        self._places: pa.Array[pa.UInt64Scalar] | None = None

    def __len__(self) -> int:
        """Return the number of devices."""
        return len(self._keys)

    def add(self, source: Totals, keys: Sequence[bytes]) -> None:
        """Take in those of the devices that are there; about 1 us each."""
        for key, each in heights_of(source, keys):
            self._keys.append(key)
            self._heights.append(self._sign * each)

    def sort(self) -> None:
        """Find the order, once; without Python's lock, so a thread may do it beside the loop."""
        buffer = pa.py_buffer(self._heights)
        column = pa.Array.from_buffers(pa.float64(), len(self._heights), [None, buffer])
        # Stable, so ties stay in order of the keys.
        self._places = pyarrow.compute.array_sort_indices(column)

    def slices(self, offset: int, stop: int | None) -> Iterator[list[bytes]]:
        """Yield the keys from place to place in the order."""
        assert self._places is not None, "sort it first"
        places = self._places[offset:stop]
        for begin in range(0, len(places), SLICE_KEYS):
            some: list[Any] = places[begin : begin + SLICE_KEYS].to_pylist()
            yield [self._keys[place] for place in some]


def heights_of(source: Totals, keys: Sequence[bytes]) -> Iterator[tuple[bytes, float]]:
    """Yield the devices that are there, and what they are ranked by."""
    there, totals = served_totals(keys, source.columns_of(keys))
    if None not in totals:
        yield from zip(there, totals, strict=True)
        return
    for key, total in zip(there, totals, strict=True):
        parts = [column[0] for column in source.columns_of([key])]
        yield key, height(total, [part for part in parts if part is not None])
