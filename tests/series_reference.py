"""Answers of a series by brute force, as judges and doubles give them.

Shares no code with the reader's copy.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from decimal import Context, Decimal, localcontext
from typing import NamedTuple

from api.view.series import (
    DeviceSeries,
    DeviceSum,
    Filter,
    Group,
    Period,
    PlaceSum,
    Sum,
)
from contract.before_rows import decode_before
from contract.hour_rows import BEFORE, decode_key
from tests.series_rows import decode_hour


class Cell(NamedTuple):
    """A quarter of a device at a location in a partition."""

    device_id: str
    location: str
    quarter: int
    total: Decimal
    readings: int


def exact(numbers: Sequence[Decimal | int]) -> Decimal:
    """Add numbers without rounding."""
    with localcontext(Context(prec=5000)):
        return sum((Decimal(number) for number in numbers), Decimal(0))


class CellSeries(ABC):
    """Added up from cells, anew for each question."""

    @abstractmethod
    def all_cells(self) -> Iterator[Cell]:
        """Yield all quarters with a reading; what is before has the quarter -1."""

    @abstractmethod
    def seconds(self, device_id: str, locations: Collection[str] | None) -> list[int]:
        """Seconds of a device, the first and the last among them."""

    def cells(self, only: Filter, period: Period | None = None) -> Iterator[Cell]:
        """Yield the cells that are asked for; without a period what is before, too."""
        for cell in self.all_cells():
            if (
                (only.devices is None or cell.device_id in only.devices)
                and (only.locations is None or cell.location in only.locations)
                and (period is None or max(period.start, 0) <= cell.quarter < period.end)
            ):
                yield cell

    def extent(self, only: Filter) -> Period | None:
        """As SeriesSnapshot.extent."""
        quarters = [cell.quarter for cell in self.cells(only) if cell.quarter >= 0]
        return Period(min(quarters), max(quarters) + 1) if quarters else None

    def groups(
        self, edges: Sequence[int], only: Filter, *, by_device: bool, by_location: bool
    ) -> Iterator[Group]:
        """As SeriesSnapshot.groups."""
        groups: dict[tuple[str, str], list[list[Cell]]] = {}
        for cell in self.cells(only, Period(edges[0], edges[-1])):
            key = cell.device_id if by_device else "", cell.location if by_location else ""
            buckets = groups.setdefault(key, [[] for _ in edges[1:]])
            buckets[bisect_right(edges, cell.quarter) - 1].append(cell)
        for key, buckets in sorted(groups.items()):
            yield Group(
                key[0] if by_device else None,
                key[1] if by_location else None,
                [sum_of(bucket) if bucket else None for bucket in buckets],
            )

    def by_device(self, period: Period | None, only: Filter) -> list[DeviceSum]:
        """As SeriesSnapshot.by_device."""
        cells = list(self.cells(only, period))
        return [
            DeviceSum(device_id, *sum_of([cell for cell in cells if cell.device_id == device_id]))
            for device_id in sorted({cell.device_id for cell in cells})
        ]

    def by_location(self, period: Period | None, only: Filter) -> list[PlaceSum]:
        """As SeriesSnapshot.by_location."""
        return places_of(list(self.cells(only, period)))

    def device(self, device_id: str, only: Filter) -> DeviceSeries | None:
        """As SeriesSnapshot.device."""
        if only.devices is not None and device_id not in only.devices:
            return None
        wanted = only._replace(devices=[device_id])
        places = places_of(list(self.cells(wanted)))
        if not places:
            return None
        seconds = self.seconds(device_id, only.locations)
        return DeviceSeries(places, min(seconds), max(seconds))


class SeriesReference(CellSeries):
    """The rows of all partitions, by partition and changelog key."""

    def __init__(self) -> None:
        self.rows: dict[tuple[int, bytes], bytes] = {}

    def write(self, partition: int, rows: Mapping[bytes, bytes | None]) -> None:
        """Apply a commit."""
        for key, value in rows.items():
            if value is None:
                self.rows.pop((partition, key), None)
            else:
                self.rows[partition, key] = value

    def all_cells(self) -> Iterator[Cell]:
        for (_, key), value in self.rows.items():
            device_id, hour, location = decode_key(key)
            if hour == BEFORE:
                before = decode_before(value)
                yield Cell(device_id, location, -1, Decimal(before.total), before.readings)
                continue
            for place, (total, readings) in enumerate(decode_hour(value).quarters):
                if readings:
                    yield Cell(device_id, location, 4 * hour + place, Decimal(total), readings)

    def seconds(self, device_id: str, locations: Collection[str] | None) -> list[int]:
        seconds: list[int] = []
        for (_, key), value in self.rows.items():
            each = decode_key(key)
            if each.device_id != device_id or (
                locations is not None and each.location not in locations
            ):
                continue
            if each.hour == BEFORE:
                before = decode_before(value)
                seconds += (before.first, before.last)
            else:
                hour = decode_hour(value)
                seconds += (3600 * each.hour + hour.first, 3600 * each.hour + hour.last)
        return seconds


def sum_of(cells: Sequence[Cell]) -> Sum:
    """Add cells."""
    return Sum(exact([cell.total for cell in cells]), sum(cell.readings for cell in cells))


def places_of(cells: Sequence[Cell]) -> list[PlaceSum]:
    """Add cells by location."""
    found: list[PlaceSum] = []
    for location in sorted({cell.location for cell in cells}):
        here = [cell for cell in cells if cell.location == location]
        found.append(PlaceSum(location, *sum_of(here), len({cell.device_id for cell in here})))
    return found
