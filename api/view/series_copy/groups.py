"""Sums in buckets, by device and location."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from api.view.series import Filter, Group
from api.view.series_copy.buckets import Buckets, PlannedDay
from api.view.series_copy.rows import Rows


def place_groups(
    rows: Rows, days: Sequence[PlannedDay], count: int, only: Filter, *, by_location: bool
) -> Iterator[Group]:
    """Yield groups of all devices, from the days of locations or of the fleet."""
    fleet = Buckets(count)
    if only.locations is None and not by_location:
        for day, parts in days:
            if (value := rows.fleet_day(day)) is not None:
                fleet.add(value, parts)
        yield from _group(None, None, fleet)
        return
    for location, name in rows.locations(only.locations).items():
        buckets = Buckets(count) if by_location else fleet
        for day, parts in days:
            if (value := rows.place_day(day, location)) is not None:
                buckets.add(value, parts)
        if by_location:
            yield from _group(None, name, buckets)
    if not by_location:
        yield from _group(None, None, fleet)


def device_groups(
    rows: Rows,
    days: Sequence[PlannedDay],
    count: int,
    only: Filter,
    *,
    by_device: bool,
    by_location: bool,
) -> Iterator[Group]:
    """Yield groups of devices, from their own days."""
    names = rows.locations(only.locations)
    by_place: dict[int, Buckets] = {}
    for device_id, device in rows.devices(only.devices):
        if by_device:
            by_place = {}
        for day, parts in days:
            for location, value in rows.device_day(day, device):
                if location in names:
                    key = location if by_location else -1
                    buckets = by_place.get(key)
                    if buckets is None:
                        buckets = by_place[key] = Buckets(count)
                    buckets.add(value, parts)
        if by_device:
            yield from _groups_of(device_id, by_place, names)
    if not by_device:
        yield from _groups_of(None, by_place, names)


def _groups_of(
    device_id: str | None, by_place: dict[int, Buckets], names: dict[int, str]
) -> Iterator[Group]:
    for location in sorted(by_place, key=lambda number: names.get(number, "")):
        yield from _group(device_id, names.get(location), by_place[location])


def _group(device_id: str | None, location: str | None, buckets: Buckets) -> Iterator[Group]:
    sums = buckets.sums()
    if sums is not None:
        yield Group(device_id, location, sums)
