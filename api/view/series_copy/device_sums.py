"""Sums of one period, or of all time, by device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from api.view.series import DeviceSum, Filter
from api.view.series_copy.buckets import PlannedDay
from api.view.series_copy.day_sums import PartSum, added, part_sum, whole_sum
from api.view.series_copy.exact import number_of
from api.view.series_copy.rows import Rows

#: To look one entry up costs as much as to pass over so many.
LOOK_UP_COST = 4

DeviceAt = tuple[int, int, PartSum]


def devices_of_all_time(rows: Rows, only: Filter) -> list[DeviceSum]:
    """Return what each device has at the locations that are asked for."""
    return _by_name(rows, _added(rows, all_time(rows, only), only))


def devices_in(rows: Rows, days: Sequence[PlannedDay], only: Filter) -> list[DeviceSum]:
    """Return what each device has in a period, cut into days, at these locations."""
    return _by_name(rows, _added(rows, in_days(rows, days, only), only))


def all_time(rows: Rows, only: Filter) -> Iterator[DeviceAt]:
    """Yield device, location and sum of all time of devices, at any location."""
    if only.devices is None:
        pairs = rows.all_pairs()
    else:
        pairs = (
            (device, location, pair)
            for _, device in rows.devices(only.devices)
            for location, pair in rows.pairs(device)
        )
    for device, location, pair in pairs:
        yield device, location, (pair.readings, pair.total, pair.places)


def in_days(rows: Rows, days: Sequence[PlannedDay], only: Filter) -> Iterator[DeviceAt]:
    """Yield device, location and sum of all parts of days, of devices at any location."""
    devices = None
    if only.devices is not None:
        devices = {number for _, number in rows.devices(only.devices)}
    for day, (part,) in days:
        start, end, is_whole = part.start, part.end, part.is_whole
        if devices is None or len(devices) * LOOK_UP_COST > rows.device_count():
            values = rows.part_days(day)
        else:
            values = (
                (device, location, value)
                for device in devices
                for location, value in rows.device_day(day, device)
            )
        for device, location, value in values:
            if devices is None or device in devices:
                found = whole_sum(value) if is_whole else part_sum(value, start, end)
                if found[0]:
                    yield device, location, found


def _added(rows: Rows, parts: Iterator[DeviceAt], only: Filter) -> dict[int, PartSum]:
    locations = None if only.locations is None else rows.locations(only.locations)
    sums: dict[int, PartSum] = {}
    known = sums.get
    for device, location, part in parts:
        if locations is None or location in locations:
            found = known(device)
            sums[device] = part if found is None else added(found, part)
    return sums


def _by_name(rows: Rows, sums: dict[int, PartSum]) -> list[DeviceSum]:
    if len(sums) * LOOK_UP_COST > rows.device_count():
        return [
            _device_sum(name, found)
            for name, device in rows.devices(None)
            if (found := sums.get(device)) is not None
        ]
    return sorted(_device_sum(rows.device_name(device), found) for device, found in sums.items())


def _device_sum(device_id: str, found: PartSum) -> DeviceSum:
    readings, total, places = found
    return DeviceSum(device_id, number_of(total, places), readings)
