"""Which databases the copy has, and their keys and records. Private: another format, another copy.

Devices and locations have numbers, because a device_id and a location of 256 bytes each are more
than a key may have. Days stand first in the keys: what is written lies together, and a year of a
device is 365 look-ups of 2 us.
"""

from __future__ import annotations

from struct import Struct
from typing import Any, NamedTuple

import msgspec

#: Raise it with every change of what is written.
FORMAT = 2

DAY = Struct(">H")
NUMBER = Struct(">I")
#: (day, location): days of a location; which of its devices have a reading in a day.
PLACE_DAY = Struct(">HI")
#: (day, device) and (device, location), (location, device within it).
DEVICE_DAY = Struct(">HI")
PAIR = Struct(">II")
#: (day, device, location, source partition): days of a device.
PART_DAY = Struct(">HIIH")

#: (device, location, source partition): what is before.
BEFORE_PART = Struct(">IIH")

#: The last day that a key holds, in the year 2149.
LAST_DAY = 2**16 - 1
LAST_NUMBER = 2**32 - 1
HOURS_OF_A_DAY = 24
SECONDS_OF_A_DAY = 86_400

#: Before a location's name, for no key is empty.
_NAME = b"="


class Databases(NamedTuple):
    """The copy's databases."""

    #: Identity and format, positions, markers, births.
    about: Any
    #: device_id -> number, number -> device_id.
    devices: Any
    device_names: Any
    #: Location -> number, number -> PlaceRecord.
    locations: Any
    places: Any
    #: (device, location) -> PairRecord; (location, device within it) -> device.
    pairs: Any
    members: Any
    #: Days (day.py): of a device at a location in a source partition, of a location, of the fleet.
    part_days: Any
    place_days: Any
    fleet_days: Any
    #: (device, location, source partition) -> BeforeRecord.
    befores: Any
    #: (day, location) -> a bit for each device within the location that has a reading.
    present: Any


class PlaceRecord(NamedTuple):
    """A location: its sum of all time, how many devices have a reading there.

    `members` is how many devices ever had one: their numbers within the location are below it.
    """

    name: str
    readings: int
    total: int
    places: int
    devices: int
    members: int


class PairRecord(NamedTuple):
    """A device at a location: its number there, its sum of all time, first and last second."""

    member: int
    readings: int
    total: int
    places: int
    first: int
    last: int


class BeforeRecord(NamedTuple):
    """What retention has added up: in no day, first and last second since 1970."""

    first: int
    readings: int
    total: int
    places: int
    last: int


def name_key(location: str) -> bytes:
    """Return the key of a location's name."""
    return _NAME + location.encode()


def name_of(key: bytes) -> str:
    """Return the location whose key this is."""
    return key[len(_NAME) :].decode()


_pack = msgspec.msgpack.encode
_unpack = msgspec.msgpack.decode
_IN_MSGPACK = range(-(2**63), 2**63)


def pack_record(record: PlaceRecord | PairRecord | BeforeRecord) -> bytes:
    """Write a record."""
    if record.total not in _IN_MSGPACK:
        size = record.total.bit_length() // 8 + 1
        wide = record.total.to_bytes(size, "little", signed=True)
        return _pack((*record[:2], wide, *record[3:]))
    return _pack(tuple(record))


def unpack_place(value: bytes) -> PlaceRecord:
    """Read a location's record."""
    fields = _unpack(value)
    fields[2] = _total(fields[2])
    return PlaceRecord._make(fields)


def name_in(value: bytes) -> str:
    """Read the name in a location's record."""
    name: str = _unpack(value)[0]
    return name


def unpack_pair(value: bytes) -> PairRecord:
    """Read the record of a device at a location."""
    fields = _unpack(value)
    fields[2] = _total(fields[2])
    return PairRecord._make(fields)


def unpack_before(value: bytes) -> BeforeRecord:
    """Read what is before."""
    fields = _unpack(value)
    fields[2] = _total(fields[2])
    return BeforeRecord._make(fields)


def _total(packed: int | bytes) -> int:
    return packed if isinstance(packed, int) else int.from_bytes(packed, "little", signed=True)
