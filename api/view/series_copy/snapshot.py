"""A snapshot of the series: what readers ask of a view `energy_series`, answered from the copy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from api.view.series import DeviceSeries, DeviceSum, Filter, Group, Period, PlaceSum
from api.view.series_copy.buckets import PlannedDay, plan
from api.view.series_copy.day_header import QUARTERS
from api.view.series_copy.day_sums import mask_of
from api.view.series_copy.device_sums import devices_in, devices_of_all_time
from api.view.series_copy.exact import number_of
from api.view.series_copy.groups import device_groups, place_groups
from api.view.series_copy.kept_sums import KeptSums
from api.view.series_copy.layout import LAST_DAY, Databases
from api.view.series_copy.place_sums import places_in, places_of_all_time
from api.view.series_copy.rows import Rows

_SECONDS_OF_A_QUARTER = 900
_ALL = Filter()

_Sum = TypeVar("_Sum", DeviceSum, PlaceSum)


class SeriesSnapshot:
    """Sums as of `applied_offsets`, -1 for a source partition without any: one read transaction.

    Blocking: minutes of quarters of a fleet take seconds.
    """

    def __init__(
        self, transaction: Any, databases: Databases, kept: KeptSums, applied: Sequence[int]
    ) -> None:
        """Begin with an open transaction, in which these offsets are applied."""
        self._rows = Rows(transaction, databases)
        self._transaction: int = transaction.id()
        self._kept = kept
        self.applied_offsets = [*applied]

    def extent(self, only: Filter) -> Period | None:
        """Return the period from the first quarter with a reading to the last; None: no reading."""
        if only.devices is not None:
            return self._extent_of_devices(only)
        days = self._rows.days(0, LAST_DAY)
        first = next(
            (quarters for day in days if (quarters := self._extent_of_day(day, only))), None
        )
        if first is None:
            return None
        last = next(
            quarters for day in reversed(days) if (quarters := self._extent_of_day(day, only))
        )
        return Period(first.start, last.end)

    def _extent_of_devices(self, only: Filter) -> Period | None:
        locations, rows = self._locations(only), self._rows
        quarters: list[int] = []
        for _, device in rows.devices(only.devices):
            for location, pair in rows.pairs(device):
                if location not in locations:
                    continue
                # Its seconds are also those of what is before, which has no quarter.
                if rows.has_before(device, location):
                    quarters += rows.quarters(device, location) or ()
                else:
                    quarters += (each // _SECONDS_OF_A_QUARTER for each in (pair.first, pair.last))
        return Period(min(quarters), max(quarters) + 1) if quarters else None

    def _extent_of_day(self, day: int, only: Filter) -> Period | None:
        rows = [
            self._rows.fleet_day(day)
            if only.locations is None
            else self._rows.place_day(day, location)
            for location in ([0] if only.locations is None else self._locations(only))
        ]
        mask = 0
        for row in rows:
            if row is not None:
                mask |= mask_of(row)
        if not mask:
            return None
        start = day * QUARTERS
        return Period(start + (mask & -mask).bit_length() - 1, start + mask.bit_length())

    def groups(
        self, edges: Sequence[int], only: Filter, *, by_device: bool, by_location: bool
    ) -> Iterator[Group]:
        """Yield the groups that have a reading between the first edge and the last.

        Shape: n + 1 ascending edges make n buckets. Order: device_id, then location, by code
        points. Ungrouped: one group, or none.
        """
        if len(edges) < 2 or edges[0] >= edges[-1]:
            return iter(())
        days = plan(self._days(edges[0], edges[-1]), edges)
        count = len(edges) - 1
        if by_device or only.devices is not None:
            return device_groups(
                self._rows, days, count, only, by_device=by_device, by_location=by_location
            )
        return place_groups(self._rows, days, count, only, by_location=by_location)

    def by_device(self, period: Period | None, only: Filter) -> list[DeviceSum]:
        """Return the sums of devices in a period, by device_id; None: of all time."""
        if period is None:
            return devices_of_all_time(self._rows, only)
        return self._sums("devices", devices_in, period, only)

    def by_location(self, period: Period | None, only: Filter) -> list[PlaceSum]:
        """Return the sums of locations in a period, by location; None: of all time."""
        if period is None:
            return places_of_all_time(self._rows, only)
        return self._sums("places", places_in, period, only)

    def _sums(
        self,
        kind: str,
        add: Callable[[Rows, Sequence[PlannedDay], Filter], list[_Sum]],
        period: Period,
        only: Filter,
    ) -> list[_Sum]:
        """Return the sums of a period, of devices or locations; those of all are kept."""

        def compute() -> list[_Sum]:
            return add(self._rows, plan(self._days(*period), period), only)

        if only != _ALL:
            return compute()
        return self._kept.get(kind, Period(*period), self._transaction, compute)

    def device(self, device_id: str, only: Filter) -> DeviceSeries | None:
        """Return what is known about a device; None where it has no reading."""
        if only.devices is not None and device_id not in only.devices:
            return None
        found: list[PlaceSum] = []
        seconds: list[int] = []
        wanted = None if only.locations is None else set(only.locations)
        device = self._rows.device(device_id)
        for location, pair in () if device is None else self._rows.pairs(device):
            name = self._rows.place_name(location)
            if wanted is None or name in wanted:
                total = number_of(pair.total, pair.places)
                found.append(PlaceSum(name, total, pair.readings, 1))
                seconds += (pair.first, pair.last)
        if not found:
            return None
        found.sort()
        return DeviceSeries(found, min(seconds), max(seconds))

    def _days(self, start: int, end: int) -> list[int]:
        """Return the days with a reading between two quarters since 1970."""
        first, last = max(start // QUARTERS, 0), min((end - 1) // QUARTERS, LAST_DAY)
        return self._rows.days(first, last) if first <= last else []

    def _locations(self, only: Filter) -> dict[int, str]:
        return self._rows.locations(only.locations)
