"""Makes a reading of a quarantined value: the fields that are set, all others as received.

Nothing is repaired silently: what is not set stays as it was written, ignored fields too, and the
whole is judged by the rule for every way in. A field for which the sender had no permission has to
be set, so that it is an operator who says whose reading it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from contract.decimals import parse_number
from contract.decoding import COLUMNS, validate
from contract.errors import Fault, InvalidReading, SettingError
from contract.quarantine import NOT_PERMITTED, VALUE_BYTES_KEPT
from operations.quarantine.rows import QuarantinedRow

#: A good reading, in which each value that is set is tried alone.
_GOOD = {
    "timestamp": "2025-04-30 10:11:21",
    "device_id": "device_7",
    "energy_consumed": 1,
    "location": "",
}
_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode


class Repaired(msgspec.Struct, frozen=True):
    """A reading to publish: its key and its value."""

    key: bytes
    value: bytes


def read_changes(texts: Sequence[str]) -> dict[str, msgspec.Raw]:
    """Return the JSON of each FIELD=VALUE. Raises: SettingError, also for a value never valid."""
    changes: dict[str, msgspec.Raw] = {}
    for text in texts:
        field, equals, value = text.partition("=")
        if not equals or field not in COLUMNS:
            raise SettingError(
                "--set", f"must be FIELD=VALUE, FIELD one of {', '.join(COLUMNS)}", value=text
            )
        if field in changes:
            raise SettingError("--set", f"names {field} twice")
        changes[field] = msgspec.Raw(_json(field, value))
        try:
            validate(_encode(_GOOD | {field: changes[field]}))
        except InvalidReading as error:
            raise SettingError("--set", str(error), value=text) from error
    return changes


def repair(row: QuarantinedRow, changes: Mapping[str, msgspec.Raw]) -> Repaired | InvalidReading:
    """Return what to publish, or why it still is no reading."""
    if row.is_cut:
        reason = f"only its first {VALUE_BYTES_KEPT} bytes were kept"
        return InvalidReading((Fault("", reason),), dict.fromkeys(COLUMNS))
    forbidden = tuple(
        Fault(column, reason)
        for column, reason in row.faults
        if NOT_PERMITTED.get(column) == reason and column not in changes
    )
    if forbidden:
        return InvalidReading(forbidden, dict.fromkeys(COLUMNS))
    value = row.value
    if changes:
        value = _encode({**_fields(value), **changes})
    try:
        return Repaired(validate(value).device_id.encode(), value or b"")
    except InvalidReading as error:
        return error


def _fields(value: bytes | None) -> dict[str, msgspec.Raw]:
    """Return the fields of an object, of a name written twice the last; of anything else none."""
    try:
        return _decode(value or b"")
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return {}


def _json(field: str, text: str) -> bytes:
    if field == "energy_consumed":
        try:
            parse_number(text)
            return text.encode()
        except ValueError:
            pass
    return _encode(text)
