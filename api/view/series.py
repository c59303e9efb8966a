"""What readers ask of a view `energy_series`, whatever keeps it: sums in one snapshot.

Instants are quarters of an hour since 1970-01-01T00:00Z, periods are half-open. A sum is exact
(an int or a Decimal) and comes with the number of readings in it. `before` is what retention has
added up: it has no quarter, and is in a sum only where no period is asked for. Filters are
devices and locations by name; None: all of them; unknown names have nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

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


class Series(Protocol):
    """A snapshot of the series. Blocking: minutes of quarters of a fleet take seconds."""

    @property
    def applied_offsets(self) -> list[int]:
        """The applied offset of each source partition, -1 for none."""
        ...

    def extent(self, only: Filter) -> Period | None:
        """Return the period from the first quarter with a reading to the last; None: no reading."""
        ...

    def groups(
        self, edges: Sequence[int], only: Filter, *, by_device: bool, by_location: bool
    ) -> Iterator[Group]:
        """Yield the groups that have a reading between the first edge and the last.

        Shape: n + 1 ascending edges make n buckets. Order: device_id, then location, by code
        points. Ungrouped: one group, or none.
        """
        ...

    def by_device(self, period: Period | None, only: Filter) -> list[DeviceSum]:
        """Return the sums of devices in a period, by device_id; None: of all time."""
        ...

    def by_location(self, period: Period | None, only: Filter) -> list[PlaceSum]:
        """Return the sums of locations in a period, by location; None: of all time."""
        ...

    def device(self, device_id: str, only: Filter) -> DeviceSeries | None:
        """Return what is known about a device; None where it has no reading."""
        ...


class SeriesSource(Protocol):
    """The series of a view version as it is served and followed."""

    @property
    def view_version(self) -> int:
        """The view version it is of."""
        ...

    @property
    def log(self) -> tuple[str, str]:
        """Cluster id and id of the changelog topic: in another log the same offsets mean more."""
        ...

    def shown_offsets(self) -> list[int]:
        """Return the applied offset of each source partition, -1 for none, of what is shown now."""
        ...

    def removed_rows(self) -> list[int]:
        """Return how many rows retention has removed of each partition, also at one offset."""
        ...

    def snapshot(self) -> AbstractContextManager[Series]:
        """Hold the series as it is now; in any thread, but in one from begin to end."""
        ...
