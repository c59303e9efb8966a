"""Bytes of a quarantine record: what could not be counted, why, and where it came from.

The columns are those of the quarantine endpoint. A value is kept up to 64 KiB and a key up to
1 KiB; what is longer is cut, with its full length and SHA-256 beside it. Bytes that are not
UTF-8 are kept in base64, and the plain column is null.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from datetime import UTC, datetime
from typing import Any

import msgspec

from contract.errors import CorruptRecord, InvalidReading
from contract.reading import COLUMNS

VALUE_BYTES_KEPT = 64 * 1024
KEY_BYTES_KEPT = 1024
#: Header of records that a view version quarantined; rows refused on the way in have none.
VIEW_VERSION_HEADER = "view_version"
_COLUMN_CHARACTERS_KEPT = 1024


class Origin(msgspec.Struct, frozen=True):
    """Where a quarantined Kafka record stands; `timestamp` is Kafka's, in milliseconds."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None


class ImportedRow(msgspec.Struct, frozen=True):
    """Where a row that was refused on the way in came from; line counts from 1."""

    import_id: str
    file: str | None = None
    line: int | None = None


def encode_quarantined(
    value: bytes | None,
    error: InvalidReading,
    origin: Origin | ImportedRow,
    inserted_at: datetime,
) -> bytes:
    """Write the quarantine record of a value.

    Shape: one JSON object, at most about 0.6 MB (64 KiB of control characters, escaped).
    """
    record: dict[str, Any] = {
        column: _shortened(error.received.get(column)) for column in COLUMNS
    }
    record["c__error_column"] = [fault.column for fault in error.faults]
    record["c__error"] = [fault.reason for fault in error.faults]
    record["c__import_id"] = None
    record["insertion_date"] = inserted_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(origin, Origin):
        record |= {
            "__topic": origin.topic,
            "__partition": origin.partition,
            "__offset": origin.offset,
            "__timestamp": origin.timestamp,
        }
        record |= _kept("__key", origin.key, KEY_BYTES_KEPT)
    else:
        record["c__import_id"] = origin.import_id
        record |= {"__file": origin.file, "__line": origin.line}
        record |= dict.fromkeys(("__topic", "__partition", "__offset", "__timestamp"))
        record |= _kept("__key", None, KEY_BYTES_KEPT)
    record |= _kept("__value", value, VALUE_BYTES_KEPT)
    return msgspec.json.encode(record)


def decode_quarantined(value: bytes | None) -> dict[str, Any]:
    """Read a quarantine record. Raises: CorruptRecord."""
    try:
        return msgspec.json.decode(value or b"", type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise CorruptRecord("no quarantine record of ours") from error


def _shortened(text: str | None) -> str | None:
    if text is None:
        return None
    # A lone surrogate from an escape has no UTF-8; the bytes as received are in __value.
    return text[:_COLUMN_CHARACTERS_KEPT].encode("utf-8", "replace").decode()


def _kept(name: str, whole: bytes | None, limit: int) -> dict[str, Any]:
    """Keep bytes as text, else in base64; where cut, with length and SHA-256 of the whole."""
    columns: dict[str, Any] = {name: None, f"{name}_base64": None}
    if whole is None:
        return columns
    kept = whole[:limit]
    try:
        # A cut may split a character: the whole decides whether it is text.
        whole.decode()
        columns[name] = kept.decode(errors="ignore")
    except UnicodeDecodeError:
        columns[f"{name}_base64"] = b64encode(kept).decode()
    if len(whole) > limit:
        columns[f"{name}_length"] = len(whole)
        columns[f"{name}_sha256"] = hashlib.sha256(whole).hexdigest()
    return columns
