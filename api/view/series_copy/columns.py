"""Columns of a day's row: integers, each as narrow as the widest of them allows.

A column is an array, or a list where an integer is beyond 64 bits ("wide"). One entry is written
where all are the same.
"""

from __future__ import annotations

from array import array
from struct import Struct
from typing import TypeAlias

Column: TypeAlias = "array[int] | list[int]"

#: Added to an array's type code: all entries are the same, only one is written.
_SAME = 0x80
_WIDER = {"h": "i", "i": "q", "B": "H", "H": "I", "I": "Q"}
_SIZES = {code: array(code).itemsize for code in "hiqBHIQ"}
#: Of a wide integer, before its bytes.
_LENGTH = Struct("=H")


def pack_column(column: Column) -> tuple[int, bytes]:
    """Return the code of an array, which is not 0, and its bytes."""
    assert isinstance(column, array)
    code = ord(column.typecode)
    if column[0] == column[-1] and column.count(column[0]) == len(column):
        return code | _SAME, column[:1].tobytes()
    return code, column.tobytes()


def unpack_column(value: bytes, at: int, code: int, length: int) -> tuple[Column, int]:
    """Read a column; returns it and where it ends."""
    kind = chr(code & ~_SAME)
    if code & _SAME:
        end = at + _SIZES[kind]
        return array(kind, value[at:end]) * length, end
    end = at + _SIZES[kind] * length
    return array(kind, value[at:end]), end


def column_sum(
    value: bytes, at: int, code: int, length: int, first: int, last: int
) -> tuple[int, int]:
    """Add the entries of a column from first on, before last; returns that and where it ends."""
    kind = chr(code & ~_SAME)
    size = _SIZES[kind]
    if code & _SAME:
        end = at + size
        return array(kind, value[at:end])[0] * (last - first), end
    return sum(array(kind, value[at + size * first : at + size * last])), at + size * length


def pack_wide_column(sums: Column) -> bytes:
    """Return the bytes of integers of any size, each with its length."""
    parts: list[bytes] = []
    for each in sums:
        size = each.bit_length() // 8 + 1
        parts += (_LENGTH.pack(size), each.to_bytes(size, "little", signed=True))
    return b"".join(parts)


def unpack_wide_column(value: bytes, at: int, length: int) -> tuple[list[int], int]:
    """Read a wide column; returns it and where it ends."""
    sums: list[int] = []
    for _ in range(length):
        (size,) = _LENGTH.unpack_from(value, at)
        at += _LENGTH.size
        sums.append(int.from_bytes(value[at : at + size], "little", signed=True))
        at += size
    return sums, at


def spliced(column: Column, at: int, end: int, new: list[int]) -> Column:
    """Replace entries, in place or in a column of wider integers; returns it."""
    while isinstance(column, array):
        try:
            column[at:end] = array(column.typecode, new)
            return column
        except OverflowError:
            wider = _WIDER.get(column.typecode)
            if wider is None and column.typecode == "Q":
                raise
            column = array(wider, column) if wider else list(column)
    column[at:end] = new
    return column
