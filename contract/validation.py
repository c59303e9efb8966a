"""The rule that says what a reading is, and what is wrong with a value that is none.

The JSON parser is msgspec's. It is as strict as the grammar, also in what it skips (tests
compare it with Python's), but for UTF-8 and depth, which are checked here. Each value is judged
alone.
"""

from __future__ import annotations

import re
from array import array
from itertools import accumulate
from typing import Annotated, Any

import msgspec

from contract.decimals import Number, parse_number
from contract.errors import Fault, InvalidReading
from contract.timestamps import timestamp_fault

COLUMNS = ("timestamp", "device_id", "energy_consumed", "location")
VALUE_BYTES = 64 * 1024
DEVICE_ID_BYTES = 256
LOCATION_BYTES = 256
NESTING_LEVELS = 64
#: No text of this many characters can have more than 256 bytes of UTF-8.
SHORT_CHARACTERS = 64

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
#: A string up to its end, or to the end of the text: it never has to begin again at a later quote.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
#: Brackets as signed bytes: 1 opens, -1 closes. All other bytes are left out.
_LEVELS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[{]}"))
_NUMBER_STARTS = frozenset(b"%c" % character for character in b"-0123456789")
_BLANKS = b" \t\r\n"
#: Passed over at the start of a file or body; anywhere else between tokens it is a fault.
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_BYTE = re.compile(r"\(byte ([0-9]+)\)\Z")


class Reading(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """A valid reading; `energy_consumed` is exact, an int or a Decimal."""

    timestamp: str
    device_id: str
    energy_consumed: Any
    location: Annotated[str, msgspec.Meta(max_length=SHORT_CHARACTERS)]


_ABSENT = msgspec.Raw()


class _Fields(msgspec.Struct, gc=False):
    """The four fields as JSON text; of a name written twice the last one."""

    timestamp: msgspec.Raw = _ABSENT
    device_id: msgspec.Raw = _ABSENT
    energy_consumed: msgspec.Raw = _ABSENT
    location: msgspec.Raw = _ABSENT


_decode_fields = msgspec.json.Decoder(_Fields).decode
_decode_text = msgspec.json.Decoder(str).decode
_fields_of = msgspec.structs.astuple

_MISSING = {column: Fault(column, "missing") for column in COLUMNS}
_NOT_TEXT = {column: Fault(column, "not a string") for column in COLUMNS} | {
    "energy_consumed": Fault("energy_consumed", "not a number")
}


def validate(value: bytes | None) -> Reading:
    """Judge one value alone by all rules of the contract.

    Raises: InvalidReading with every fault found.
    """
    verdict = judge(value)
    if isinstance(verdict, Reading):
        return verdict
    raise verdict


def judge(value: bytes | None) -> Reading | InvalidReading:
    """Return the reading, or what `validate` raises (raising costs as much as judging)."""
    fields = _parse_object(value)
    if isinstance(fields, str):
        return InvalidReading((Fault("", fields),), dict.fromkeys(COLUMNS))
    number: Number = 0
    faults: list[Fault] = []
    if (timestamp := _text(fields.timestamp)) is None:
        faults.append(_no_text("timestamp", fields.timestamp))
    elif reason := timestamp_fault(timestamp):
        faults.append(Fault("timestamp", reason))
    if (device_id := _text(fields.device_id)) is None:
        faults.append(_no_text("device_id", fields.device_id))
    elif reason := device_id_fault(device_id):
        faults.append(Fault("device_id", reason))
    if (energy := _number_text(fields.energy_consumed)) is None:
        faults.append(_no_text("energy_consumed", fields.energy_consumed))
    else:
        try:
            number = parse_number(energy)
        except ValueError as error:
            faults.append(Fault("energy_consumed", str(error)))
    if (location := _text(fields.location)) is None:
        faults.append(_no_text("location", fields.location))
    elif reason := location_fault(location):
        faults.append(Fault("location", reason))
    if faults:
        texts = (timestamp, device_id, energy, location)
        return InvalidReading(tuple(faults), _received(texts, fields))
    return Reading(timestamp, device_id, number, location)  # type: ignore[arg-type]


def received(value: bytes) -> dict[str, str | None]:
    """Return the text of each column of a value that is a reading, as an InvalidReading has it."""
    fields = _decode_fields(value)
    texts = (
        _text(fields.timestamp),
        _text(fields.device_id),
        _number_text(fields.energy_consumed),
        _text(fields.location),
    )
    return _received(texts, fields)


def device_id_fault(device_id: str) -> str | None:
    """Say why the text is no device_id, or None when it is one."""
    if not device_id:
        return "empty"
    if len(device_id) > SHORT_CHARACTERS and len(device_id.encode()) > DEVICE_ID_BYTES:
        return f"more than {DEVICE_ID_BYTES} bytes"
    if not device_id.isprintable() and _CONTROL.search(device_id):
        return "has a control character"
    return None


def location_fault(location: str) -> str | None:
    """Say why the text is no location, or None when it is one."""
    if len(location) > SHORT_CHARACTERS and len(location.encode()) > LOCATION_BYTES:
        return f"more than {LOCATION_BYTES} bytes"
    return None


def _text(raw: msgspec.Raw) -> str | None:
    """Return the string that the JSON text is, or None."""
    if raw is _ABSENT:
        return None
    try:
        return _decode_text(raw)
    except msgspec.DecodeError:
        return None


def _number_text(raw: msgspec.Raw) -> str | None:
    """Return a bare number as it is written, or a string, or None."""
    json = bytes(raw)
    return json.decode() if json[:1] in _NUMBER_STARTS else _text(raw)


def _no_text(column: str, raw: msgspec.Raw) -> Fault:
    return (_MISSING if raw is _ABSENT else _NOT_TEXT)[column]


def _received(texts: tuple[str | None, ...], fields: _Fields) -> dict[str, str | None]:
    """Name the texts; what is no string stands as its JSON, None where absent or null."""
    received = dict(zip(COLUMNS, texts, strict=True))
    if None in texts:
        for column, raw in zip(COLUMNS, _fields_of(fields), strict=True):
            if received[column] is None and raw is not _ABSENT:
                json = bytes(raw).decode()
                received[column] = None if json == "null" else json
    return received


def _parse_object(value: bytes | None) -> _Fields | str:
    """Parse one JSON object as strictly as its grammar; a text is the reason why it is none."""
    if value is None:
        return "null"
    if len(value) > VALUE_BYTES:
        return f"more than {VALUE_BYTES} bytes"
    if not value.isascii():
        try:
            value.decode()
        except UnicodeDecodeError as error:
            return f"not UTF-8 at byte {error.start}"
    if value.count(b"{") + value.count(b"[") > NESTING_LEVELS and _is_too_deep(value):
        return f"nested deeper than {NESTING_LEVELS} levels"
    try:
        return _decode_fields(value)
    except msgspec.ValidationError:
        return "not a JSON object"
    except msgspec.DecodeError as error:
        if not value.strip(_BLANKS):
            return "empty"
        return "not JSON: " + _what_is_wrong(value, str(error))


def _what_is_wrong(value: bytes, error: str) -> str:
    """Return the parser's words, or what they stand for where it met a byte order mark."""
    if place := _BYTE.search(error):
        # Of what trails behind an object the parser names the second byte.
        first = max(0, int(place[1]) - 1)
        mark = value.find(BYTE_ORDER_MARK, first, first + 1 + len(BYTE_ORDER_MARK))
        if mark >= 0:
            return f"byte order mark (byte {mark})"
    return error.removeprefix("JSON is malformed: ")


def _is_too_deep(value: bytes) -> bool:
    """Return whether it is nested too deep, before a recursive parser sees it.

    Unit: 3 ms for the worst 64 KiB; every byte is looked at a fixed number of times.
    """
    levels = _STRING.sub(b"", value).translate(_LEVELS, _NO_BRACKETS)
    return max(accumulate(array("b", levels)), default=0) > NESTING_LEVELS
