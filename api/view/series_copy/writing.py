"""Writes commits of the changelog into the copy, within one transaction.

Rows are absolute, so a row is compared with what is stored for it, and the differences are added
to its location's day, to the fleet's, and to the sums of all time. Sums are exact and differences
of exact sums are, so neither order nor cut of the commits leaves a trace.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from struct import Struct
from typing import Any

from api.view.copy.commit import Commit
from api.view.series_copy.before import BeforePart, seconds_of, write_before
from api.view.series_copy.day import Day
from api.view.series_copy.differences import DayDifference, PairDifference
from api.view.series_copy.layout import (
    DAY,
    HOURS_OF_A_DAY,
    LAST_DAY,
    NUMBER,
    PAIR,
    PART_DAY,
    PLACE_DAY,
    SECONDS_OF_A_DAY,
    Databases,
    PairRecord,
    pack_record,
    unpack_pair,
    unpack_place,
)
from api.view.series_copy.numbers import Numbering
from api.view.series_copy.scaled_hour import ScaledHour
from contract.errors import CorruptRecord
from contract.hour_rows import BEFORE, decode_key

#: (day, device, location, source partition).
_PartDay = tuple[int, int, int, int]


class Writing:
    """One write transaction, in which commits of any partitions are applied together."""

    def __init__(self, transaction: Any, databases: Databases) -> None:
        """Begin; nothing is written before `apply`."""
        self._transaction = transaction
        self._databases = databases
        self._numbers = Numbering(transaction, databases)
        #: By (day, location), by (device, location).
        self._days: dict[tuple[int, int], DayDifference] = {}
        self._pairs: dict[tuple[int, int], PairDifference] = {}
        #: Rows of what is before, by (device, location, source partition); differences by location.
        self._befores: dict[BeforePart, bytes | None] = {}
        self._places_before: dict[int, DayDifference] = {}
        #: By location: devices that have their first reading there, less those without one now.
        self._newcomers: Counter[int] = Counter()

    def apply(self, commits: Sequence[Commit]) -> None:
        """Write rows. Raises: CorruptRecord, lmdb.Error."""
        rows: dict[int, dict[bytes, bytes | None]] = {}
        for commit in commits:
            rows.setdefault(commit.partition, {}).update(commit.rows)
        # In the order of the keys: neighbours share pages.
        for part_day, hours in sorted(self._by_day(rows).items()):
            self._write_part_day(part_day, hours)
        for before_part, value in sorted(self._befores.items()):
            self._write_before(before_part, value)
        fleet: dict[int, DayDifference] = {}
        by_place: dict[int, DayDifference] = {}
        for (day, location), difference in sorted(self._days.items()):
            place_days = self._databases.place_days
            self._add_to_day(PLACE_DAY, (day, location), difference, place_days)
            self._set_present(day, location, difference)
            fleet.setdefault(day, DayDifference()).merge(difference)
            by_place.setdefault(location, DayDifference()).merge(difference)
        for location, difference in self._places_before.items():
            by_place.setdefault(location, DayDifference()).merge(difference)
        for day, difference in fleet.items():
            self._add_to_day(DAY, (day,), difference, self._databases.fleet_days)
        for (device, location), change in sorted(self._pairs.items()):
            self._add_to_pair(device, location, change)
        # After the devices at them: these count who is there.
        for location, difference in by_place.items():
            self._add_to_place(location, difference)

    def days(self) -> set[int]:
        """Return the days that were changed."""
        return {day for day, _ in self._days}

    def _by_day(
        self, rows: Mapping[int, Mapping[bytes, bytes | None]]
    ) -> dict[_PartDay, dict[int, bytes | None]]:
        days: dict[_PartDay, dict[int, bytes | None]] = {}
        for partition, changed in rows.items():
            for key, value in changed.items():
                device_id, hour, name = decode_key(key)
                device, location = self._numbers.device(device_id), self._numbers.location(name)
                if hour == BEFORE:
                    self._befores[device, location, partition] = value
                    continue
                day, hour = divmod(hour, HOURS_OF_A_DAY)
                if day > LAST_DAY:
                    raise CorruptRecord(f"an hour beyond the year 2149: {key[:64]!r}")
                days.setdefault((day, device, location, partition), {})[hour] = value
        return days

    def _write_part_day(self, part_day: _PartDay, hours: Mapping[int, bytes | None]) -> None:
        number, device, location, _ = part_day
        key = PART_DAY.pack(*part_day)
        stored = self._transaction.get(key, db=self._databases.part_days)
        day = Day() if stored is None else Day.decode(stored)
        before = day.seconds() if day.mask else None
        changes = day.put_hours(
            {
                hour: None if value is None else ScaledHour.decode(value)
                for hour, value in hours.items()
            }
        )
        after = day.seconds() if day.mask else None
        place = self._days.get((number, location))
        if place is None:
            place = self._days[number, location] = DayDifference()
        place.add(changes, day.places)
        pair = self._pairs.get((device, location))
        if pair is None:
            pair = self._pairs[device, location] = PairDifference()
        pair.add(changes, day.places)
        pair.move(before, after, number * SECONDS_OF_A_DAY)
        if after is not None:
            self._put_day(PART_DAY, part_day, stored, day, self._databases.part_days)
            if before is None:
                place.appeared.add(device)
        elif before is not None:
            self._transaction.delete(key, db=self._databases.part_days)
            place.vanished.add(device)

    def _write_before(self, part: BeforePart, value: bytes | None) -> None:
        device, location, _ = part
        pair = self._pairs.setdefault((device, location), PairDifference())
        place = self._places_before.setdefault(location, DayDifference())
        if write_before(self._transaction, self._databases, part, value, pair, place):
            # It may be the first that comes of the device there.
            self._member(device, location)

    def _put_day(
        self, keys: Struct, of: tuple[int, ...], stored: bytes | None, day: Day, database: Any
    ) -> None:
        """Write a row, which from its first hour on has the room that the day before it took.

        A row that grows by the hour has its page cut in two again and again, and leaves each half
        empty; one that has its room is replaced in place. Nobody reads what is behind a row's end.
        """
        number, *others = of
        room = 0 if stored is None else len(stored)
        if stored is None and number and not day.is_over():
            model = self._transaction.get(keys.pack(number - 1, *others), db=database)
            room = 0 if model is None else len(model.rstrip(b"\0"))
        self._transaction.put(keys.pack(*of), day.encode().ljust(room, b"\0"), db=database)

    def _add_to_day(
        self, keys: Struct, of: tuple[int, ...], difference: DayDifference, database: Any
    ) -> None:
        key = keys.pack(*of)
        stored = self._transaction.get(key, db=database)
        day = Day() if stored is None else Day.decode(stored)
        difference.add_to(day)
        if day.mask:
            self._put_day(keys, of, stored, day, database)
        elif stored is not None:
            self._transaction.delete(key, db=database)

    def _set_present(self, day: int, location: int, difference: DayDifference) -> None:
        if not difference.appeared and not difference.vanished:
            return
        key = PLACE_DAY.pack(day, location)
        stored = self._transaction.get(key, db=self._databases.present) or b""
        bits = bytearray(stored)
        for device in difference.appeared | difference.vanished:
            member = self._member(device, location)
            byte, bit = divmod(member, 8)
            if byte >= len(bits):
                bits.extend(bytes(byte + 1 - len(bits)))
            if self._has_rows(day, device, location):
                bits[byte] |= 1 << bit
            else:
                bits[byte] &= ~(1 << bit)
        if any(bits):
            self._transaction.put(key, bytes(bits), db=self._databases.present)
        else:
            self._transaction.delete(key, db=self._databases.present)

    def _has_rows(self, day: int, device: int, location: int) -> bool:
        prefix = PART_DAY.pack(day, device, location, 0)[:-2]
        cursor = self._transaction.cursor(db=self._databases.part_days)
        return bool(cursor.set_range(prefix) and cursor.key().startswith(prefix))

    def _member(self, device: int, location: int) -> int:
        """Return the device's number within the location; a new device gets the next one."""
        key = PAIR.pack(device, location)
        stored = self._transaction.get(key, db=self._databases.pairs)
        if stored is not None:
            return unpack_pair(stored).member
        place_key = NUMBER.pack(location)
        place = unpack_place(self._transaction.get(place_key, db=self._databases.places))
        member = place.members
        place = place._replace(members=member + 1)
        self._transaction.put(place_key, pack_record(place), db=self._databases.places)
        pair = PairRecord(member, 0, 0, 0, 0, 0)
        self._transaction.put(key, pack_record(pair), db=self._databases.pairs)
        self._transaction.put(
            PAIR.pack(location, member), NUMBER.pack(device), db=self._databases.members
        )
        return member

    def _add_to_pair(self, device: int, location: int, change: PairDifference) -> None:
        key = PAIR.pack(device, location)
        stored = self._transaction.get(key, db=self._databases.pairs)
        if stored is None:
            # What is removed without ever having been there.
            return
        pair = unpack_pair(stored)
        total = change.added_to(pair.readings, pair.total, pair.places)
        first, last = pair.first, pair.last
        if total.readings and change.first is not None and change.last is not None:
            first = min(first, change.first) if pair.readings else change.first
            last = max(last, change.last) if pair.readings else change.last
        if total.readings and change.is_lost:
            first, last = seconds_of(self._transaction, self._databases, device, location)
        self._newcomers[location] += (total.readings > 0) - (pair.readings > 0)
        new = PairRecord(pair.member, total.readings, total.total, total.places, first, last)
        self._transaction.put(key, pack_record(new), db=self._databases.pairs)

    def _add_to_place(self, location: int, difference: DayDifference) -> None:
        key = NUMBER.pack(location)
        place = unpack_place(self._transaction.get(key, db=self._databases.places))
        total = difference.added_to(place.readings, place.total, place.places)
        new = place._replace(
            readings=total.readings,
            total=total.total,
            places=total.places,
            devices=place.devices + self._newcomers[location],
        )
        self._transaction.put(key, pack_record(new), db=self._databases.places)
