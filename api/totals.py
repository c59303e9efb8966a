"""From part-totals as the changelog has them to what is served.

A part-total is kept as its bytes (contract.changelog.encode_total) and read when asked for.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from contract.changelog import decode_total
from contract.decimals import canonical, nearest_float
from contract.fold import sum_exactly

#: Exactly what encode_total writes, so that reading a part later cannot fail.
is_part_total = re.compile(
    rb"1 [1-9][0-9]{0,18} (?:0|-?(?:[1-9][0-9]*|(?:0|[1-9][0-9]*)\.[0-9]*[1-9]))"
).fullmatch

#: Up to here every integer is a Float64, and texts of at most this many digits are below.
_SAFE_DIGITS = 15
_SAFE_INTEGER = 2**53


class Total(msgspec.Struct, frozen=True, gc=False):
    """A device's total over all source partitions.

    `total_energy_consumed` is the nearest Float64 (an int where it has no fraction), None
    beyond its range; the exact one is canonical decimal text.
    """

    device_id: str
    total_energy_consumed: int | float | None
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


def served_total(parts: Sequence[bytes]) -> int | float | None:
    """Return only the Float64 of a device's total."""
    if len(parts) == 1:
        return served(parts[0].rsplit(b" ", 1)[1])
    return _plain(nearest_float(sum_exactly(decode_total(part)[0] for part in parts)))


def served(exact: bytes) -> int | float | None:
    """Return the Float64 nearest to a canonical decimal."""
    if len(exact) <= _SAFE_DIGITS and b"." not in exact:
        return int(exact)
    number = float(exact)
    return None if number in (float("inf"), float("-inf")) else _plain(number)


def _plain(number: float | None) -> int | float | None:
    if number is not None and number.is_integer() and abs(number) <= _SAFE_INTEGER:
        return int(number)
    return number
