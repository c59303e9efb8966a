"""Which parts of a day fall into which buckets, and a day's row spread over them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from api.view.series import Sum
from api.view.series_copy.day import Day
from api.view.series_copy.day_header import QUARTERS
from api.view.series_copy.day_sums import part_sum
from api.view.series_copy.exact import RunningSum

#: To look at so many parts of a row costs as much as to take it apart.
_FEW_PARTS = 4


class Part(NamedTuple):
    """Quarters of a day, from start on and before end, that fall into a bucket."""

    bucket: int
    start: int
    end: int

    @property
    def is_whole(self) -> bool:
        """Whether it is the whole day."""
        return self.end - self.start == QUARTERS

    @property
    def mask(self) -> int:
        """A bit for each quarter."""
        return (1 << self.end) - (1 << self.start)


class PlannedDay(NamedTuple):
    """A day, and the buckets that it falls into."""

    day: int
    parts: list[Part]


def plan(days: Iterable[int], edges: Sequence[int]) -> list[PlannedDay]:
    """Cut days at the edges of buckets, given as quarters since 1970."""
    return [PlannedDay(day, parts) for day in days if (parts := _parts(day * QUARTERS, edges))]


def _parts(start: int, edges: Sequence[int]) -> list[Part]:
    end = start + QUARTERS
    parts: list[Part] = []
    bucket = max(bisect_right(edges, start) - 1, 0)
    while bucket < len(edges) - 1 and edges[bucket] < end:
        first, last = max(edges[bucket], start), min(edges[bucket + 1], end)
        if first < last:
            parts.append(Part(bucket, first - start, last - start))
        bucket += 1
    return parts


class Buckets:
    """The sums of a group, by bucket."""

    __slots__ = ("_count", "_sums")

    def __init__(self, count: int) -> None:
        self._count = count
        self._sums: dict[int, RunningSum] = {}

    def add(self, value: bytes, parts: Sequence[Part]) -> None:
        """Spread a day's row over its buckets."""
        if len(parts) <= _FEW_PARTS:
            for part in parts:
                found = part_sum(value, part.start, part.end)
                if found[0]:
                    self._sum(part.bucket).add(*found)
            return
        day = Day.decode(value)
        for part in parts:
            if day.mask & part.mask:
                self._sum(part.bucket).add(*day.between(part.start, part.end), day.places)

    def sums(self) -> list[Sum | None] | None:
        """Return the sum of each bucket, None where it has no reading; None: none of them has."""
        if not self._sums:
            return None
        sums: list[Sum | None] = [None] * self._count
        for bucket, each in self._sums.items():
            sums[bucket] = each.sum()
        return sums

    def _sum(self, bucket: int) -> RunningSum:
        found = self._sums.get(bucket)
        if found is None:
            found = self._sums[bucket] = RunningSum()
        return found
