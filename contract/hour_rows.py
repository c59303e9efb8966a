"""Bytes of a row of `energy_series`: an hour of a device at a location.

Key: device_id, hour, location; value: first and last second of the hour that has a reading, then
of each quarter its number of readings and exact sum. docs/CHANGELOG_FORMAT.md shows each. What
retention has added up has rows of its own (contract/before_rows.py), whose keys say so in place of
the hour.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from contract.decimals import canonical, from_canonical
from contract.errors import CorruptRecord

QUARTERS_OF_AN_HOUR = 4
SECONDS_OF_AN_HOUR = 3_600
#: In place of an hour: a row of what retention has added up.
BEFORE = -1
BEFORE_HOUR = b"-------"

_VERSION = b"1"
#: Of a row with a reading in each quarter.
_ALL_PARTS = 3 + 2 * QUARTERS_OF_AN_HOUR

_CELL = rb" (?:0|[1-9][0-9]{0,18}+ (?!-0(?: |\Z))-?(?:0|[1-9][0-9]*+)(?:\.[0-9]*[1-9])?)"
#: Exactly what `encode_flat` writes.
HOUR = rb"1 (?:0|[1-9][0-9]{0,3}) (?:0|[1-9][0-9]{0,3})(?:" + _CELL + rb"){4}"


#: Of a row with a reading in one quarter, by the quarter; the sum as an integer, as text.
_ALONE = tuple(
    b"1 %d %d" + place * b" 0" + b" %d %d" + (QUARTERS_OF_AN_HOUR - 1 - place) * b" 0"
    for place in range(QUARTERS_OF_AN_HOUR)
)
_ALONE_AS_TEXT = tuple(b" %d %b".join(form.rsplit(b" %d %d", 1)) for form in _ALONE)
_ALONE_PARTS = 3 + 2 + QUARTERS_OF_AN_HOUR - 1
_EMPTY = tuple(number * [b"0"] for number in range(QUARTERS_OF_AN_HOUR))


class HourKey(NamedTuple):
    """Whose hour a row is: `hour` counts from 1970-01-01T00:00Z, or is BEFORE."""

    device_id: str
    hour: int
    location: str


#: What is folded of one quarter of a row: first and last second of the hour, readings, exact sum.
Quarter = tuple[int, int, int, Any]
#: A row while it is added up: first and last second, then of each quarter readings and sum.
Flat = list[Any]


def add_flat(to: Flat, other: Flat) -> None:
    """Add a row to another one; in an exact context."""
    to[0], to[1] = min(to[0], other[0]), max(to[1], other[1])
    for slot in range(2, len(to)):
        if other[slot]:
            to[slot] += other[slot]


def encode_key(key: HourKey) -> bytes:
    r"""Write a key: device_id, hour in seven digits, location, with `\x00` between."""
    hour = BEFORE_HOUR if key.hour == BEFORE else b"%07d" % key.hour
    return b"%b\0%b\0%b" % (key.device_id.encode(), hour, key.location.encode())


def decode_key(key: bytes) -> HourKey:
    """Read a key: no device_id has a zero byte, a location may. Raises: CorruptRecord."""
    device_id, hour, location = split_key(key)
    try:
        return HourKey(device_id.decode(), hour, location.decode())
    except ValueError as error:
        raise CorruptRecord(f"no key of an hour of ours: {key[:64]!r}") from error


def split_key(key: bytes) -> tuple[bytes, int, bytes]:
    """Return device_id, hour (or BEFORE) and location of a key. Raises: CorruptRecord."""
    try:
        device_id, hour, location = key.split(b"\0", 2)
        if hour == BEFORE_HOUR and device_id:
            return device_id, BEFORE, location
        if len(hour) != 7 or not hour.isdigit() or not device_id:
            raise ValueError(f"hour {hour!r}")
        return device_id, int(hour), location
    except ValueError as error:
        raise CorruptRecord(f"no key of an hour of ours: {key[:64]!r}") from error


def encode_flat(flat: Flat) -> bytes:
    """Write a row as `flat_hour` reads it."""
    text = b"1 %d %d" % (flat[0], flat[1])
    for slot in range(2, 10, 2):
        readings, total = flat[slot], flat[slot + 1]
        if not readings:
            text += b" 0"
        elif type(total) is int:
            text += b" %d %d" % (readings, total)
        else:
            text += b" %d %b" % (readings, canonical(total).encode())
    return text


def encode_quarter(place: int, quarter: Quarter) -> bytes:
    """Write a row with readings in one quarter, the first being 0; as `encode_flat` does."""
    total = quarter[3]
    if type(total) is int:
        return _ALONE[place] % quarter
    return _ALONE_AS_TEXT[place] % (*quarter[:3], canonical(total).encode())


def add_quarter(value: bytes, place: int, quarter: Quarter) -> bytes | None:
    """Add readings of one quarter to a row that has none in another; in an exact context.

    None: it has others, or is no row, and `flat_hour` has to read it.
    """
    parts = value.split(b" ")
    if len(parts) != _ALONE_PARTS or parts[0] != _VERSION:
        return None
    if parts[3 : 3 + place] != _EMPTY[place] or parts[5 + place :] != _EMPTY[3 - place]:
        return None
    # A sum of 0 looks like an empty quarter: then this one is empty, and the next one is not.
    if parts[3 + place] == b"0":
        return None
    first, last, readings, total = quarter
    text = parts[4 + place]
    try:
        total += from_canonical(text.decode("ascii")) if b"." in text else int(text)
        readings += int(parts[3 + place])
        first, last = min(first, int(parts[1])), max(last, int(parts[2]))
    except (ValueError, ArithmeticError):
        return None
    return encode_quarter(place, (first, last, readings, total))


def flat_hour(value: bytes) -> list[Any]:
    """Read a row as first and last second, then of each quarter readings and sum; 0, 0: none.

    Raises: CorruptRecord.
    """
    try:
        parts = value.split(b" ")
        if parts[0] != _VERSION:
            raise ValueError(f"version {parts[0]!r}")
        if len(parts) == _ALL_PARTS and b"." not in value:
            numbers = list(map(int, parts))[1:]
            if 0 not in numbers[2::2]:
                return numbers
        flat: Flat = [int(parts[1]), int(parts[2])]
        place = 3
        for _ in range(QUARTERS_OF_AN_HOUR):
            readings = int(parts[place])
            if not readings:
                flat += 0, 0
                place += 1
                continue
            total = parts[place + 1]
            flat += readings, from_canonical(total.decode("ascii")) if b"." in total else int(total)
            place += 2
        if place != len(parts):
            raise ValueError("more than four quarters")
        return flat
    except (ValueError, ArithmeticError, IndexError) as error:
        raise CorruptRecord(f"no hour of ours: {value[:64]!r}") from error
