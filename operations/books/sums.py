"""Adds up the rows of both views for each device, in the order of their keys. Pure.

In an exact context. Memory: one device.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

from contract.decimals import Number
from contract.device_totals import decode_total
from contract.energy_series import amount
from contract.hour_rows import decode_key
from contract.view import Row


class Sum(NamedTuple):
    """What a device has: exact sum, number of readings."""

    total: Number
    readings: int


def totals_of(rows: Iterable[Row]) -> Iterator[tuple[str, Sum]]:
    """Yield each device and its total, in the order of the rows."""
    for key, value in rows:
        yield key.decode(), Sum(*decode_total(value))


def sums_of(rows: Iterable[Row], locations: set[str]) -> Iterator[tuple[str, Sum]]:
    """Yield each device and the sum over its locations, hours and what is before.

    `locations` collects where it was.

    Raises: CorruptRecord.
    """
    keyed = ((decode_key(key), value) for key, value in rows)
    for device_id, of_device in groupby(keyed, lambda row: row[0].device_id):
        total: Number = 0
        readings = 0
        for key, value in of_device:
            locations.add(key.location)
            energy, count = amount(value)
            total += energy
            readings += count
        yield device_id, Sum(total, readings)
