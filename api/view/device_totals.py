"""From part-totals as the changelog has them to what is served.

A part-total is kept as its bytes (contract.device_totals.encode_total) and read when asked for.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import inf

import msgspec

from contract.decimals import Number, canonical, nearest_float, sum_exactly
from contract.device_totals import decode_total

#: Exactly what encode_total writes, so that reading a part later cannot fail.
is_part_total = re.compile(
    rb"1 [1-9][0-9]{0,18} (?:0|-?(?:[1-9][0-9]*|(?:0|[1-9][0-9]*)\.[0-9]*[1-9]))"
).fullmatch

#: Up to here every integer is a Float64, and texts of at most this many digits are below.
_SAFE_DIGITS = 15
_SAFE_INTEGER = 2**53


#: The nearest Float64, an int where it has no fraction; None beyond Float64's range.
Served = int | float | None


class Total(msgspec.Struct, frozen=True, gc=False):
    """A device's total over all source partitions.

    `total_energy_consumed` is the nearest Float64 (an int where it has no fraction), None
    beyond its range; the exact one is canonical decimal text.
    """

    device_id: str
    total_energy_consumed: Served
    total_energy_consumed_exact: str
    readings: int


def total_of(key: bytes, parts: Sequence[bytes]) -> Total:
    """Add the part-totals of one device."""
    if len(parts) == 1:
        _, readings, exact = parts[0].split(b" ")
        return Total(key.decode(), served(exact), exact.decode(), int(readings))
    decoded = [decode_total(part) for part in parts]
    text = canonical(sum_exactly(number for number, _ in decoded))
    return Total(key.decode(), served(text.encode()), text, sum(count for _, count in decoded))


def served_sum(parts: Sequence[bytes]) -> tuple[Served, Number]:
    """Add part-totals: as served, and exactly."""
    exact = sum_exactly(decode_total(part)[0] for part in parts)
    return _plain(nearest_float(exact)), exact


def served(exact: bytes) -> Served:
    """Return the Float64 nearest to a canonical decimal."""
    if len(exact) <= _SAFE_DIGITS and b"." not in exact:
        return int(exact)
    number = float(exact)
    return None if number in (inf, -inf) else _plain(number)


def _plain(number: float | None) -> Served:
    if number is not None and number.is_integer() and abs(number) <= _SAFE_INTEGER:
        return int(number)
    return number
