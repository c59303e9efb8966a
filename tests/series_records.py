"""Records of a series changelog made by hand, and a follower of it whose copy is real."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from contract.changelog import BIRTH_KEY, MARKER_KEY, Birth, Marker, encode_birth, encode_marker
from contract.hour_rows import HourKey, encode_key
from tests.series_rows import NO_QUARTER, Hour, Quarter, encode_hour

Records = list[tuple[bytes | None, bytes | None]]

BIRTH = Birth("cluster", "energy_consumption", "source-id", "series-id", 0, "2")


def birth(born: Birth = BIRTH) -> Records:
    """What every changelog partition begins with."""
    return [(BIRTH_KEY, encode_birth(born))]


def key_of(device_id: str, location: str = "Kitchen", hour: int = 0) -> bytes:
    return encode_key(HourKey(device_id, hour, location))


def row(
    device_id: str, total: int, readings: int = 1, *, location: str = "Kitchen", hour: int = 0
) -> tuple[bytes, bytes]:
    """An hour with readings in its first quarter."""
    value = encode_hour(Hour(0, 1, (Quarter(total, readings), NO_QUARTER, NO_QUARTER, NO_QUARTER)))
    return key_of(device_id, location, hour), value


def marker(applied_offset: int, **fields: Any) -> Records:
    return [(MARKER_KEY, encode_marker(Marker(applied_offset, **fields)))]


def commit(
    rows: Iterable[tuple[bytes, bytes | None]], applied_offset: int, **fields: Any
) -> Records:
    """The records of a commit, the marker last."""
    return [*rows, *marker(applied_offset, **fields)]
