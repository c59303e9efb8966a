"""Sums of one period, or of all time, by location, with how many devices they are of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from api.view.series import Filter, PlaceSum
from api.view.series_copy.buckets import Part, PlannedDay
from api.view.series_copy.day_sums import mask_of, part_sum
from api.view.series_copy.device_sums import DeviceAt, all_time, in_days
from api.view.series_copy.exact import RunningSum, number_of
from api.view.series_copy.rows import Rows


def places_of_all_time(rows: Rows, only: Filter) -> list[PlaceSum]:
    """Return what each location has, of the devices that are asked for."""
    names = rows.locations(only.locations)
    if only.devices is not None:
        return _of_devices(all_time(rows, only), names)
    return [
        PlaceSum(each.name, number_of(each.total, each.places), each.readings, each.devices)
        for each in map(rows.place, names)
        if each.readings
    ]


def places_in(rows: Rows, days: Sequence[PlannedDay], only: Filter) -> list[PlaceSum]:
    """Return what each location has in a period, cut into days, of these devices."""
    names = rows.locations(only.locations)
    if only.devices is not None:
        return _of_devices(in_days(rows, days, only), names)
    sums: dict[int, RunningSum] = {}
    for day, (part,) in days:
        for location, value in _place_days(rows, day, None if only.locations is None else names):
            readings, total, places = part_sum(value, part.start, part.end)
            if readings:
                sums.setdefault(location, RunningSum()).add(readings, total, places)
    counts = _device_counts(rows, days, sums, is_fleet=only.locations is None)
    return [
        PlaceSum(name, found.number(), found.readings, counts[location])
        for location, name in names.items()
        if (found := sums.get(location)) is not None
    ]


def _place_days(
    rows: Rows, day: int, locations: Iterable[int] | None
) -> Iterator[tuple[int, bytes]]:
    if locations is None:
        yield from rows.place_days(day)
        return
    for location in locations:
        if (value := rows.place_day(day, location)) is not None:
            yield location, value


def _of_devices(parts: Iterable[DeviceAt], names: dict[int, str]) -> list[PlaceSum]:
    sums: dict[int, RunningSum] = {}
    devices: dict[int, set[int]] = {}
    for device, location, part in parts:
        sums.setdefault(location, RunningSum()).add(*part)
        devices.setdefault(location, set()).add(device)
    return [
        PlaceSum(name, found.number(), found.readings, len(devices[location]))
        for location, name in names.items()
        if (found := sums.get(location)) is not None
    ]


def _device_counts(
    rows: Rows, days: Sequence[PlannedDay], locations: Iterable[int], *, is_fleet: bool
) -> dict[int, int]:
    """Count the devices with a reading, by location; `is_fleet`: these are all locations.

    Whole days have a bit for each. Only who is in none of them is looked for in the days that
    are cut, of which a period has two at most.
    """
    whole = [day for day, (part,) in days if part.is_whole]
    cut = [(day, part) for day, (part,) in days if not part.is_whole]
    if is_fleet and not whole:
        return _count_in_cut_days(rows, cut, locations)
    counts: dict[int, int] = {}
    for location in locations:
        seen = 0
        for day in whole:
            seen |= _bits(rows, day, location)
        others = {
            member
            for day, part in cut
            for member in _members(_bits(rows, day, location) & ~seen)
            if _has_reading(rows, day, rows.member(location, member), location, part)
        }
        counts[location] = seen.bit_count() + len(others)
    return counts


def _count_in_cut_days(
    rows: Rows, cut: Sequence[tuple[int, Part]], locations: Iterable[int]
) -> dict[int, int]:
    devices: dict[int, set[int]] = {location: set() for location in locations}
    for day, part in cut:
        mask = part.mask
        for device, location, value in rows.part_days(day):
            if location in devices and mask_of(value) & mask:
                devices[location].add(device)
    return {location: len(found) for location, found in devices.items()}


def _bits(rows: Rows, day: int, location: int) -> int:
    return int.from_bytes(rows.present(day, location), "little")


def _members(bits: int) -> Iterator[int]:
    """Yield the numbers of the bits that are set."""
    for at, byte in enumerate(bits.to_bytes((bits.bit_length() + 7) // 8, "little")):
        if byte:
            yield from (at * 8 + bit for bit in range(8) if byte >> bit & 1)


def _has_reading(rows: Rows, day: int, device: int, location: int, part: Part) -> bool:
    return any(
        found == location and mask_of(value) & part.mask
        for found, value in rows.device_day(day, device)
    )
