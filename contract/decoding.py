"""Readings of a whole chunk at once, by the one rule for every way in (Kafka, HTTP, files).

`decode_readings` accepts the everyday forms in C and hands every value it is not sure of to
`judge`, so each value is judged alone and speed never changes a verdict.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from itertools import chain, islice
from operator import attrgetter
from typing import NamedTuple

import msgspec

from contract.decimals import EVERYDAY, NUMBER_CHARACTERS, parse_number
from contract.errors import InvalidReading
from contract.timestamps import faulty_timestamps
from contract.validation import (
    BYTE_ORDER_MARK,
    COLUMNS,
    SHORT_CHARACTERS,
    VALUE_BYTES,
    Reading,
    device_id_fault,
    judge,
    validate,
)

__all__ = [
    "BYTE_ORDER_MARK",
    "COLUMNS",
    "VALUE_BYTES",
    "Reading",
    "Rejected",
    "decode_readings",
    "validate",
]

#: After fewer readings than this in one go, everyday forms are tried less often...
_FEW = 4
#: ...but at least once in so many values.
_MOST_AT_ONCE = 512


class Rejected(NamedTuple):
    """A value that is no reading, by its place in the sequence it came in."""

    place: int
    error: InvalidReading


_place_of = attrgetter("place")

#: Accepts exactly the four fields, so nothing is skipped unchecked. Numbers stay exact.
_decode_everyday = msgspec.json.Decoder(Reading, float_hook=EVERYDAY.create_decimal).decode
#: Bytes of a value beside the texts of energy, device_id and location: what is longer than
#: this and those two cannot hide a number over 64 characters.
_FRAME_BYTES = len(
    b'{"timestamp":"2025-04-30 10:11:21","device_id":"","energy_consumed":,"location":""}'
)
_SURE_BYTES = _FRAME_BYTES + NUMBER_CHARACTERS


def decode_readings(values: Sequence[bytes | None]) -> tuple[list[Reading], list[Rejected]]:
    """Decode and validate the values of a chunk, each alone.

    Shape: n values -> the valid ones in their order, and the others with their places.
    Unit: about 0.6 us a reading in the everyday form, 3 us for any other value.
    """
    found: list[Reading | None] = []
    rejected: list[Rejected] = []
    judged: set[int] = set()
    longest = _longest(values)
    decode = _decode_everyday if longest <= VALUE_BYTES else _decode_unless_long
    rest = iter(values)
    at_once = 1
    while True:
        before = len(found)
        try:
            # C all the way; at a value it does not know, `found` holds all before that one.
            found.extend(map(decode, rest))  # type: ignore[arg-type]
            break
        except Exception:
            start = len(found)
        # Where few are everyday, trying first costs more than judging: try less often.
        at_once = 1 if start - before > _FEW else min(2 * at_once, _MOST_AT_ONCE)
        for value in chain((values[start],), islice(rest, at_once - 1)):
            verdict = judge(value)
            if isinstance(verdict, Reading):
                judged.add(len(found))
                found.append(verdict)
            else:
                rejected.append(Rejected(len(found), verdict))
                found.append(None)
    for place in _doubtful(
        values, found, judged, all_found=not rejected, is_any_long=longest > _SURE_BYTES
    ):
        verdict = judge(values[place])
        if isinstance(verdict, Reading):
            found[place] = verdict
        else:
            rejected.append(Rejected(place, verdict))
            found[place] = None
    if not rejected:
        return found, rejected  # type: ignore[return-value]
    rejected.sort(key=_place_of)
    return [reading for reading in found if reading is not None], rejected


def _longest(values: Sequence[bytes | None]) -> int:
    """Return the bytes of the longest value."""
    try:
        return max(map(len, values), default=0)  # type: ignore[arg-type]
    except TypeError:
        return max(map(len, filter(None, values)), default=0)


def _decode_unless_long(value: bytes | None) -> Reading:
    """Leave a value that is too long to `judge`, which refuses it by its length unparsed."""
    if value is not None and len(value) > VALUE_BYTES:
        raise ValueError
    return _decode_everyday(value)  # type: ignore[arg-type]


def _doubtful(
    values: Sequence[bytes | None],
    found: list[Reading | None],
    judged: set[int],
    *,
    all_found: bool,
    is_any_long: bool,
) -> set[int]:
    """Return the places whose checks, done for all at once, did not all pass."""
    places: Sequence[int] = range(len(found))
    readings: list[Reading] = found  # type: ignore[assignment]
    if judged or not all_found:
        places = [i for i in places if found[i] is not None and i not in judged]
        readings = [found[i] for i in places]  # type: ignore[misc]
    if not readings:
        return set()
    doubtful: set[int] = set()
    if not {type(r.energy_consumed) for r in readings} <= {int, Decimal}:
        doubtful.update(places[i] for i in _read_number_texts(readings))
    doubtful.update(places[i] for i in faulty_timestamps([r.timestamp for r in readings]))
    devices = {r.device_id for r in readings}
    if (
        "" in devices
        or max(map(len, devices)) > SHORT_CHARACTERS
        or not " ".join(devices).isprintable()
    ):
        bad = {device for device in devices if device_id_fault(device)}
        doubtful.update(i for i, r in zip(places, readings, strict=True) if r.device_id in bad)
    if is_any_long:
        for i, r in zip(places, readings, strict=True):
            if len(values[i]) - len(r.device_id) - len(r.location) > _SURE_BYTES:  # type: ignore[arg-type]
                doubtful.add(i)
    return doubtful


def _read_number_texts(readings: list[Reading]) -> list[int]:
    """Turn energies written as strings into numbers; return the places of those that are none."""
    others = []
    for place, reading in enumerate(readings):
        energy = reading.energy_consumed
        if type(energy) is str:
            try:
                reading.energy_consumed = parse_number(energy)
            except ValueError:
                others.append(place)
        elif type(energy) not in (int, Decimal):
            others.append(place)
    return others
