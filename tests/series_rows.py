"""Rows of a series for tests and benchmarks: hours of devices, with names for their parts."""

from __future__ import annotations

import re
from typing import NamedTuple

from contract.decimals import Number
from contract.hour_rows import HOUR, Flat, HourKey, encode_flat, encode_key, flat_hour

is_hour = re.compile(HOUR).fullmatch


class Quarter(NamedTuple):
    """Exact sum and number of readings."""

    total: Number
    readings: int


class Hour(NamedTuple):
    """A row: `first` and `last` are the seconds of the hour of its first and last reading."""

    first: int
    last: int
    quarters: tuple[Quarter, Quarter, Quarter, Quarter]


NO_QUARTER = Quarter(0, 0)


def encode_hour(hour: Hour) -> bytes:
    flat: Flat = [hour.first, hour.last]
    for total, readings in hour.quarters:
        flat += readings, total
    return encode_flat(flat)


def decode_hour(value: bytes) -> Hour:
    flat = flat_hour(value)
    one, two, three, four = (
        Quarter(flat[slot + 1], flat[slot]) if flat[slot] else NO_QUARTER
        for slot in range(2, 10, 2)
    )
    return Hour(flat[0], flat[1], (one, two, three, four))


def hour_row(
    device_id: str, hour: int, location: str, *quarters: Number | None
) -> tuple[bytes, bytes]:
    """A row with one reading at the begin of each quarter that is not None."""
    four = [*quarters, *[None] * (4 - len(quarters))]
    present = [place for place, number in enumerate(four) if number is not None]
    cells = [NO_QUARTER if number is None else Quarter(number, 1) for number in four]
    value = encode_hour(
        Hour(900 * present[0], 900 * present[-1], (cells[0], cells[1], cells[2], cells[3]))
    )
    return encode_key(HourKey(device_id, hour, location)), value
