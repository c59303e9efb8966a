"""Bytes of what retention adds up in `energy_series`: one row `before` of a device at a location.

Key: as of an hour's row, with `-------` for the hour, so it stands before the device's hours.
Value: seconds since 1970 of the first and the last reading in it, number of readings, exact sum.
A cutoff is an hour since 1970, the first of a UTC day: what is older is `before`. Whole days,
because then a day is rewritten once and not each hour, and what readers keep of it is gone whole.
docs/CHANGELOG_FORMAT.md shows a row.
"""

from __future__ import annotations

import decimal
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from contract.decimals import EXACT, Number, canonical, from_canonical
from contract.errors import CorruptRecord
from contract.hour_rows import (
    BEFORE,
    BEFORE_HOUR,
    HOUR,
    SECONDS_OF_AN_HOUR,
    Flat,
    add_flat,
    flat_hour,
    split_key,
)
from contract.view import Row

HOURS_OF_A_DAY = 24
_SECONDS_OF_A_DAY = HOURS_OF_A_DAY * SECONDS_OF_AN_HOUR

_VERSION = b"1"
#: Spaces in a row; an hour has more of them.
_SPACES = 4
#: The least key of an hour of a device, behind its id and the zero byte: digits are after `-`.
_FIRST_HOUR = b"\x000"

_BEFORE = (
    rb"1 (?:0|[1-9][0-9]{0,9}) (?:0|[1-9][0-9]{0,9}) [1-9][0-9]{0,18}+"
    rb" (?!-0\Z)-?(?:0|[1-9][0-9]*+)(?:\.[0-9]*[1-9])?"
)
#: Exactly what `encode_before` writes.
is_before = re.compile(_BEFORE).fullmatch
#: Exactly what either kind of row is.
is_row = re.compile(rb"(?:%b)|(?:%b)" % (HOUR, _BEFORE)).fullmatch


class Before(NamedTuple):
    """A row: `first` and `last` are seconds since 1970 of its first and last reading."""

    first: int
    last: int
    readings: int
    total: Number


def encode_before(row: Before) -> bytes:
    """Write a row: version, first and last second, readings and sum."""
    first, last, readings, total = row
    text = b"%d" % total if type(total) is int else canonical(total).encode()
    return b"1 %d %d %d %b" % (first, last, readings, text)


def decode_before(value: bytes) -> Before:
    """Read a row. Raises: CorruptRecord."""
    try:
        version, first, last, readings, total = value.split(b" ")
        if version != _VERSION:
            raise ValueError(f"version {version!r}")
        number = from_canonical(total.decode("ascii")) if b"." in total else int(total)
        return Before(int(first), int(last), int(readings), number)
    except (ValueError, ArithmeticError) as error:
        raise CorruptRecord(f"no row of ours of what is before: {value[:64]!r}") from error


def flat_row(value: bytes) -> Flat:
    """Read an hour's row or a row `before`: both seconds, then numbers of readings and sums.

    Raises: CorruptRecord.
    """
    return list(decode_before(value)) if value.count(b" ") == _SPACES else flat_hour(value)


def key_before(key: bytes) -> bytes:
    """Return the key of the row that an hour's row is added up in. Raises: CorruptRecord."""
    device_id, _, location = split_key(key)
    return b"%b\0%b\0%b" % (device_id, BEFORE_HOUR, location)


def as_before(key: bytes, value: bytes) -> Flat | None:
    """Return what a row is `before`: first and last second since 1970, readings, sum; None: empty.

    In an exact context. Raises: CorruptRecord.
    """
    flat, hour = flat_row(value), split_key(key)[1]
    if hour == BEFORE:
        return flat
    began, readings = hour * SECONDS_OF_AN_HOUR, sum(flat[2::2])
    if not readings:
        return None
    return [began + flat[0], began + flat[1], readings, sum(flat[3::2])]


def add_before(rows: dict[bytes, Flat], key: bytes, flat: Flat) -> None:
    """Add a row `before` to rows; in an exact context."""
    known = rows.get(key)
    if known is None:
        rows[key] = flat
    else:
        add_flat(known, flat)


def cutoff_at(now: float, days: int) -> int:
    """Return the cutoff that a clock (seconds since 1970) gives where so many days are kept."""
    return max(0, int(now) // _SECONDS_OF_A_DAY - days) * HOURS_OF_A_DAY


def look_on(key: bytes, cutoff: int) -> bytes | None:
    """Return where to look for rows of hours before the cutoff, from this key on.

    None: it is the key of one. Of each device only the first hour is looked at where it is new
    enough: the hours of a device are in order.
    """
    device_id, hour, _ = split_key(key)
    if hour == BEFORE:
        return device_id + _FIRST_HOUR
    # No device_id has a control character, so its rows end here.
    return None if hour < cutoff else device_id + b"\x01"


def rolled_up(rows: Iterable[Row], cutoff: int) -> Iterator[Row]:
    """Go through rows, in the order of their keys, as they are where all is up to a cutoff.

    Two changelogs of the same readings agree in this, however far each has come. Memory: the
    locations of a device. Raises: CorruptRecord.
    """
    before: dict[bytes, Flat] = {}
    device: bytes | None = None
    for key, value in rows:
        device_id, hour, _ = split_key(key)
        is_old = hour < cutoff
        if before and (device_id != device or not is_old):
            yield from _written(before)
            before = {}
        device = device_id
        if not is_old:
            yield key, value
            continue
        with decimal.localcontext(EXACT):
            flat = as_before(key, value)
            if flat is not None:
                add_before(before, key_before(key), flat)
    yield from _written(before)


def _written(before: dict[bytes, Flat]) -> Iterator[Row]:
    for key in sorted(before):
        yield key, encode_before(Before(*before[key]))
