"""What readers of a view `energy_series` name and are answered; series_copy/snapshot.py answers.

Instants are quarters of an hour since 1970-01-01T00:00Z, periods are half-open. A sum is exact
(an int or a Decimal) and comes with the number of readings in it. `before` is what retention has
added up: it has no quarter, and is in a sum only where no period is asked for. Filters are
devices and locations by name; None: all of them; unknown names have nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from contract.decimals import Number


class Filter(NamedTuple):
    """Only these devices, only at these locations; None: all."""

    devices: Collection[str] | None = None
    locations: Collection[str] | None = None


class Period(NamedTuple):
    """Quarters since 1970: from `start` on, before `end`."""

    start: int
    end: int


class Sum(NamedTuple):
    """Exact sum and number of readings."""

    total: Number
    readings: int


class Group(NamedTuple):
    """The buckets of a group, None where a bucket has no reading; None: not grouped by it."""

    device_id: str | None
    location: str | None
    buckets: list[Sum | None]


class DeviceSum(NamedTuple):
    """What a device has in a period; only of devices with a reading in it."""

    device_id: str
    total: Number
    readings: int


class PlaceSum(NamedTuple):
    """What a location has in a period, and how many devices have a reading there in it."""

    location: str
    total: Number
    readings: int
    devices: int


class DeviceSeries(NamedTuple):
    """A device's locations (`devices` is 1 in each) in order, and its first and last second.

    Seconds since 1970 of its smallest and largest timestamp.
    """

    locations: list[PlaceSum]
    first: int
    last: int
