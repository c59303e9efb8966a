"""Sums of a day's row without taking it apart: what answers over many rows are made of.

A sum here is readings, total and decimal places of the total. Unit: 0.5 us for a whole day, 2 us
for a part of one.
"""

from __future__ import annotations

from api.view.series_copy.columns import column_sum
from api.view.series_copy.day import Day
from api.view.series_copy.day_header import HEADER, QUARTERS, WIDE

PartSum = tuple[int, int, int]

_unpack = HEADER.unpack_from
_EVERY_QUARTER = (1 << QUARTERS) - 1


def mask_of(value: bytes) -> int:
    """Return a bit for each quarter that has a reading."""
    return int.from_bytes(_unpack(value)[4], "little")


def whole_sum(value: bytes) -> PartSum:
    """Return the sum of the day."""
    places, _, sums, _, _, readings, total = _unpack(value)
    if sums == WIDE:
        total = Day.decode(value).total
    return readings, total, places


def part_sum(value: bytes, start: int, end: int) -> PartSum:
    """Return the sum of the quarters from start on, before end."""
    if end - start == QUARTERS:
        return whole_sum(value)
    places, counts, sums, _, mask_bytes, _, _ = _unpack(value)
    mask = int.from_bytes(mask_bytes, "little")
    below = mask & ((1 << start) - 1)
    within = mask & (_EVERY_QUARTER >> (QUARTERS - end)) ^ below
    if not within:
        return 0, 0, 0
    if sums == WIDE:
        return (*Day.decode(value).between(start, end), places)
    cells, first = mask.bit_count(), below.bit_count()
    last = first + within.bit_count()
    readings, at = column_sum(value, HEADER.size, counts, cells, first, last)
    total, _ = column_sum(value, at, sums, cells, first, last)
    return readings, total, places


def added(one: PartSum, other: PartSum) -> PartSum:
    """Add two sums."""
    if one[2] == other[2]:
        return one[0] + other[0], one[1] + other[1], one[2]
    if one[2] > other[2]:
        one, other = other, one
    return one[0] + other[0], one[1] * 10 ** (other[2] - one[2]) + other[1], other[2]
