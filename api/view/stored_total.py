"""What a copy stores of a device: the parts of its source partitions, and their sum as served.

    8 bytes   the total as a Float64 (beyond that an infinity), in a form that sorts as numbers do
    the rest  a line for each source partition: its number, and its part-total as in the changelog

So an order of totals, and a row as most readers want it, need no look at decimals.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from struct import Struct

from api.view.device_totals import Served, Total, served, served_sum, total_of

StoredTotal = bytes

#: The bytes of a rank, at the beginning.
RANK = 8

_DOUBLE, _BITS = Struct(">d"), Struct(">Q")
_SIGN, _ALL = 1 << 63, (1 << 64) - 1
_LAST_EXACT = 2.0**53


def pack_rank(total: Served, *, is_negative: bool = False) -> bytes:
    """Write what a total is ranked by; None, which is beyond a Float64, has a sign."""
    if total is None:
        total = -inf if is_negative else inf
    (bits,) = _BITS.unpack(_DOUBLE.pack(total))
    # Negative numbers: greater bits are smaller numbers.
    return _BITS.pack(bits ^ _ALL if bits & _SIGN else bits | _SIGN)


def rank_of(stored: bytes) -> float:
    """Return what a total is ranked by: that which begins with a rank, a StoredTotal or a key."""
    (bits,) = _BITS.unpack_from(stored)
    number: float
    (number,) = _DOUBLE.unpack(_BITS.pack(bits ^ _SIGN if bits & _SIGN else bits ^ _ALL))
    return number


def served_rank(rank: float) -> Served:
    """Return the total as served: the nearest Float64, an int where it has no fraction."""
    if rank in (inf, -inf):
        return None
    return int(rank) if -_LAST_EXACT <= rank <= _LAST_EXACT and rank.is_integer() else rank


def served_total(stored: StoredTotal) -> Served:
    """Return the total of a device as served."""
    return served_rank(rank_of(stored))


def parts_of(stored: StoredTotal) -> list[bytes]:
    """Return the part-totals."""
    return [line.split(b" ", 1)[1] for line in stored[RANK:].split(b"\n")]


def with_part(stored: StoredTotal | None, partition: int, part: bytes) -> StoredTotal:
    """Return what is stored for a device once a partition's part-total is this; 3 us."""
    name = b"%d " % partition
    line = name + part
    if stored is None or (stored.startswith(name, RANK) and b"\n" not in stored[RANK:]):
        exact = part.rsplit(b" ", 1)[1]
        return pack_rank(served(exact), is_negative=exact.startswith(b"-")) + line
    others = [each for each in stored[RANK:].split(b"\n") if not each.startswith(name)]
    lines = [*others, line]
    return _rank_of_sum([each.split(b" ", 1)[1] for each in lines]) + b"\n".join(lines)


def _rank_of_sum(parts: Sequence[bytes]) -> bytes:
    total, exact = served_sum(parts)
    return pack_rank(total, is_negative=exact < 0)


def exact_total(device: bytes, stored: StoredTotal) -> Total:
    """Return the total of a device, exact too."""
    return total_of(device, parts_of(stored))
