"""What retention has added up, as the copy keeps it: of a device at a location in a partition.

It is in the sums of all time and in no day. A part is absolute, as a day's row is, so it is
compared with what is stored for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from api.view.series_copy.day import Day
from api.view.series_copy.differences import DayDifference, PairDifference
from api.view.series_copy.exact import scaled
from api.view.series_copy.layout import (
    BEFORE_PART,
    DAY,
    DEVICE_DAY,
    NUMBER,
    PAIR,
    SECONDS_OF_A_DAY,
    BeforeRecord,
    Databases,
    pack_record,
    unpack_before,
)
from contract.before_rows import decode_before

#: (device, location, source partition).
BeforePart = tuple[int, int, int]


def write_before(
    transaction: Any,
    databases: Databases,
    part: BeforePart,
    value: bytes | None,
    pair: PairDifference,
    place: DayDifference,
) -> bool:
    """Write a part (None: removed), and add what it changes; tells whether it is there now.

    The place's difference is in a quarter that is none. Raises: CorruptRecord.
    """
    key = BEFORE_PART.pack(*part)
    stored = transaction.get(key, db=databases.befores)
    old = None if stored is None else unpack_before(stored)
    new = None if value is None else _record(value)
    places = max(each.places if each else 0 for each in (old, new))
    change = 0, 0, 0
    for sign, each in ((-1, old), (1, new)):
        if each is not None:
            total = each.total * 10 ** (places - each.places)
            change = 0, change[1] + sign * each.readings, change[2] + sign * total
    pair.add([change], places)
    place.add([change], places)
    pair.move(_seconds(old), _seconds(new), 0)
    if new is not None:
        transaction.put(key, pack_record(new), db=databases.befores)
    elif old is not None:
        transaction.delete(key, db=databases.befores)
    return new is not None


def _record(value: bytes) -> BeforeRecord:
    first, last, readings, number = decode_before(value)
    total, places = scaled(number)
    return BeforeRecord(first, readings, total, places, last)


def _seconds(record: BeforeRecord | None) -> tuple[int, int] | None:
    return None if record is None else (record.first, record.last)


def befores(
    transaction: Any, databases: Databases, device: int, location: int
) -> Iterator[BeforeRecord]:
    """Yield what partitions have of a device at a location."""
    prefix = PAIR.pack(device, location)
    cursor = transaction.cursor(db=databases.befores)
    more = cursor.set_range(prefix)
    while more and cursor.key().startswith(prefix):
        yield unpack_before(cursor.value())
        more = cursor.next()


def days_of(
    transaction: Any, databases: Databases, device: int, location: int
) -> Iterator[tuple[int, bytes]]:
    """Yield day and row of a device at a location, through all days that anybody has."""
    cursor = transaction.cursor(db=databases.part_days)
    for key in transaction.cursor(db=databases.fleet_days).iternext(values=False):
        (day,) = DAY.unpack(key)
        prefix = DEVICE_DAY.pack(day, device) + NUMBER.pack(location)
        more = cursor.set_range(prefix)
        while more and cursor.key().startswith(prefix):
            yield day, cursor.value()
            more = cursor.next()


def seconds_of(
    transaction: Any, databases: Databases, device: int, location: int
) -> tuple[int, int]:
    """Look for the first and last second of a device at a location."""
    seconds: list[int] = []
    for day, value in days_of(transaction, databases, device, location):
        seconds += (day * SECONDS_OF_A_DAY + each for each in Day.decode(value).seconds())
    for record in befores(transaction, databases, device, location):
        seconds += (record.first, record.last)
    return min(seconds), max(seconds)
