"""Reads the copy's rows within one transaction, by number."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import cached_property
from typing import Any

from api.view.series_copy.before import befores, days_of
from api.view.series_copy.day_header import QUARTERS
from api.view.series_copy.day_sums import mask_of
from api.view.series_copy.layout import (
    DAY,
    DEVICE_DAY,
    NUMBER,
    PAIR,
    PART_DAY,
    PLACE_DAY,
    Databases,
    PairRecord,
    PlaceRecord,
    name_in,
    name_of,
    unpack_pair,
    unpack_place,
)
from api.view.series_copy.numbers import device_number, location_number


class Rows:
    """What is in the copy, in one snapshot."""

    def __init__(self, transaction: Any, databases: Databases) -> None:
        self._transaction = transaction
        self._databases = databases

    @cached_property
    def _part_days(self) -> Any:
        return self._transaction.cursor(db=self._databases.part_days)

    @cached_property
    def _pairs(self) -> Any:
        return self._transaction.cursor(db=self._databases.pairs)

    def days(self, first: int, last: int) -> list[int]:
        """Return the days from first to last that have a reading, whoever's."""
        cursor = self._transaction.cursor(db=self._databases.fleet_days)
        found: list[int] = []
        if cursor.set_range(DAY.pack(first)):
            for key in cursor.iternext(values=False):
                (day,) = DAY.unpack(key)
                if day > last:
                    break
                found.append(day)
        return found

    def fleet_day(self, day: int) -> bytes | None:
        """Return the day of all devices."""
        value: bytes | None = self._transaction.get(DAY.pack(day), db=self._databases.fleet_days)
        return value

    def place_day(self, day: int, location: int) -> bytes | None:
        """Return the day of a location."""
        value: bytes | None = self._transaction.get(
            PLACE_DAY.pack(day, location), db=self._databases.place_days
        )
        return value

    def place_days(self, day: int) -> Iterator[tuple[int, bytes]]:
        """Yield location and row of all that have a reading in a day."""
        cursor = self._transaction.cursor(db=self._databases.place_days)
        if cursor.set_range(DAY.pack(day)):
            for key, value in cursor.iternext():
                found, location = PLACE_DAY.unpack(key)
                if found != day:
                    break
                yield location, value

    def part_days(self, day: int) -> Iterator[tuple[int, int, bytes]]:
        """Yield device, location and row of all parts of a day."""
        cursor = self._transaction.cursor(db=self._databases.part_days)
        if cursor.set_range(DAY.pack(day)):
            unpack = PART_DAY.unpack
            for key, value in cursor.iternext():
                found, device, location, _ = unpack(key)
                if found != day:
                    break
                yield device, location, value

    def device_day(self, day: int, device: int) -> Iterator[tuple[int, bytes]]:
        """Yield location and row of all parts of a device's day."""
        prefix = DEVICE_DAY.pack(day, device)
        cursor = self._part_days
        more = cursor.set_range(prefix)
        while more:
            key, value = cursor.item()
            if not key.startswith(prefix):
                break
            yield PART_DAY.unpack(key)[2], value
            more = cursor.next()

    def present(self, day: int, location: int) -> bytes:
        """Return a bit for each device within a location that has a reading in a day."""
        bits: bytes = self._transaction.get(
            PLACE_DAY.pack(day, location), b"", db=self._databases.present
        )
        return bits

    def member(self, location: int, number: int) -> int:
        """Return the device that has a number within a location."""
        value = self._transaction.get(PAIR.pack(location, number), db=self._databases.members)
        return int(NUMBER.unpack(value)[0])

    def pairs(self, device: int) -> list[tuple[int, PairRecord]]:
        """Return the locations at which a device has a reading, by number."""
        prefix = NUMBER.pack(device)
        found: list[tuple[int, PairRecord]] = []
        more = self._pairs.set_range(prefix)
        while more:
            key, value = self._pairs.item()
            if not key.startswith(prefix):
                break
            pair = unpack_pair(value)
            if pair.readings:
                found.append((PAIR.unpack(key)[1], pair))
            more = self._pairs.next()
        return found

    def quarters(self, device: int, location: int) -> tuple[int, int] | None:
        """Return the first quarter since 1970 that has a reading of a device, and the last one."""
        quarters: list[int] = []
        for day, value in days_of(self._transaction, self._databases, device, location):
            mask = mask_of(value)
            start = day * QUARTERS
            quarters += (start + (mask & -mask).bit_length() - 1, start + mask.bit_length() - 1)
        return (min(quarters), max(quarters)) if quarters else None

    def has_before(self, device: int, location: int) -> bool:
        """Whether retention has added up some of a device at a location."""
        found = befores(self._transaction, self._databases, device, location)
        return next(found, None) is not None

    def all_pairs(self) -> Iterator[tuple[int, int, PairRecord]]:
        """Yield device, location and record of all devices at all locations."""
        for key, value in self._transaction.cursor(db=self._databases.pairs):
            pair = unpack_pair(value)
            if pair.readings:
                yield (*PAIR.unpack(key), pair)

    def place_name(self, location: int) -> str:
        """Return a location's name, without the rest of its record."""
        value = self._transaction.get(NUMBER.pack(location), db=self._databases.places)
        return name_in(value)

    def place(self, location: int) -> PlaceRecord:
        """Return a location's record."""
        return unpack_place(self._transaction.get(NUMBER.pack(location), db=self._databases.places))

    def device_name(self, device: int) -> str:
        """Return a device's id."""
        name: bytes = self._transaction.get(NUMBER.pack(device), db=self._databases.device_names)
        return name.decode()

    def device(self, name: str) -> int | None:
        """Return the number of a device, None where it is not known."""
        return device_number(self._transaction, self._databases, name)

    def device_count(self) -> int:
        """Return how many devices have a number."""
        return int(self._transaction.stat(self._databases.devices)["entries"])

    def devices(self, names: Collection[str] | None) -> Iterator[tuple[str, int]]:
        """Yield the devices of these names that are known, None: all, in order of their names."""
        if names is None:
            for name, number in self._transaction.cursor(db=self._databases.devices):
                yield name.decode(), NUMBER.unpack(number)[0]
            return
        for name in sorted(set(names)):
            found = self.device(name)
            if found is not None:
                yield name, found

    def locations(self, names: Collection[str] | None) -> dict[int, str]:
        """Return the locations of these names that are known, None: all, in order of their names.

        Shape: number -> name.
        """
        if names is None:
            cursor = self._transaction.cursor(db=self._databases.locations)
            return {NUMBER.unpack(number)[0]: name_of(key) for key, number in cursor}
        found = {
            location_number(self._transaction, self._databases, name): name
            for name in sorted(set(names))
        }
        return {number: name for number, name in found.items() if number is not None}
