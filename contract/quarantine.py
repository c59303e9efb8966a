"""Bytes of a quarantine record: what could not be counted, why, and where it came from.

The columns are those of the quarantine endpoint. A value is kept up to 64 KiB and a key up to
1 KiB; what is longer is cut, with its full length and SHA-256 beside it. Bytes that are not
UTF-8 are kept in base64, and the plain column is null.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from codecs import utf_8_decode
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from contract.errors import CorruptRecord, InvalidReading

VALUE_BYTES_KEPT = 64 * 1024
KEY_BYTES_KEPT = 1024
#: Header of records that a view version quarantined; rows refused on the way in have none.
VIEW_VERSION_HEADER = "view_version"
#: The faults of a row whose sender may not write it: of a column, what is said about it.
NOT_PERMITTED = {
    "device_id": "the token may not write for this device",
    "location": "the token may not write for this location",
}
_COLUMN_CHARACTERS_KEPT = 1024


class Origin(msgspec.Struct, frozen=True):
    """Where a quarantined Kafka record is; `timestamp` is Kafka's, in milliseconds."""

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


class Whole(NamedTuple):
    """Length and SHA-256 of a value of which the caller has only the beginning."""

    length: int
    sha256: str


class _Columns(msgspec.Struct, gc=False, omit_defaults=False):
    """The record; what is UNSET is left out."""

    timestamp: str | None
    device_id: str | None
    energy_consumed: str | None
    location: str | None
    c__error_column: list[str]
    c__error: list[str]
    c__import_id: str | None
    insertion_date: str
    topic: str | None = msgspec.field(name="__topic", default=None)
    partition: int | None = msgspec.field(name="__partition", default=None)
    offset: int | None = msgspec.field(name="__offset", default=None)
    kafka_timestamp: int | None = msgspec.field(name="__timestamp", default=None)
    file: str | msgspec.UnsetType | None = msgspec.field(name="__file", default=msgspec.UNSET)
    line: int | msgspec.UnsetType | None = msgspec.field(name="__line", default=msgspec.UNSET)
    key: str | None = msgspec.field(name="__key", default=None)
    key_base64: str | None = msgspec.field(name="__key_base64", default=None)
    key_length: int | msgspec.UnsetType = msgspec.field(name="__key_length", default=msgspec.UNSET)
    key_sha256: str | msgspec.UnsetType = msgspec.field(name="__key_sha256", default=msgspec.UNSET)
    value: str | None = msgspec.field(name="__value", default=None)
    value_base64: str | None = msgspec.field(name="__value_base64", default=None)
    value_length: int | msgspec.UnsetType = msgspec.field(
        name="__value_length", default=msgspec.UNSET
    )
    value_sha256: str | msgspec.UnsetType = msgspec.field(
        name="__value_sha256", default=msgspec.UNSET
    )


_encode = msgspec.json.Encoder().encode


def encode_quarantined(
    value: bytes | None,
    error: InvalidReading,
    origin: Origin | ImportedRow,
    inserted_at: datetime,
    *,
    whole: Whole | None = None,
) -> bytes:
    """Write the quarantine record of a value; `whole` says what it is the beginning of.

    A value is decoded and hashed as a whole: give no more than a beginning of what may be longer
    than a Kafka record.

    Shape: one JSON object, at most about 0.6 MB (64 KiB of control characters, escaped).
    Unit: 3 us for a short value; give all records of a chunk the same `inserted_at`.
    """
    received = error.received.get
    columns = _Columns(
        _shortened(received("timestamp")),
        _shortened(received("device_id")),
        _shortened(received("energy_consumed")),
        _shortened(received("location")),
        [fault.column for fault in error.faults],
        [fault.reason for fault in error.faults],
        None,
        _insertion_date(inserted_at),
    )
    if isinstance(origin, Origin):
        columns.topic = origin.topic
        columns.partition = origin.partition
        columns.offset = origin.offset
        columns.kafka_timestamp = origin.timestamp
        if origin.key is not None:
            columns.key, columns.key_base64 = _kept(origin.key, KEY_BYTES_KEPT)
            if len(origin.key) > KEY_BYTES_KEPT:
                columns.key_length = len(origin.key)
                columns.key_sha256 = hashlib.sha256(origin.key).hexdigest()
    else:
        columns.c__import_id = origin.import_id
        columns.file = origin.file
        columns.line = origin.line
    if value is not None:
        columns.value, columns.value_base64 = _kept(
            value, VALUE_BYTES_KEPT, is_cut=whole is not None
        )
        if whole is None and len(value) > VALUE_BYTES_KEPT:
            whole = Whole(len(value), hashlib.sha256(value).hexdigest())
        if whole is not None:
            columns.value_length, columns.value_sha256 = whole
    return _encode(columns)


def decode_quarantined(value: bytes | None) -> dict[str, Any]:
    """Read a quarantine record. Raises: CorruptRecord."""
    try:
        return msgspec.json.decode(value or b"", type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise CorruptRecord("no quarantine record of ours") from error


@lru_cache(maxsize=8)
def _insertion_date(inserted_at: datetime) -> str:
    return inserted_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def _shortened(text: str | None) -> str | None:
    return text if text is None else text[:_COLUMN_CHARACTERS_KEPT]


def _kept(value: bytes, limit: int, *, is_cut: bool = False) -> tuple[str | None, str | None]:
    """Keep bytes as text, else in base64; `is_cut`: the last character may be split already."""
    try:
        # The cut may split a character: the whole decides whether it is text.
        text, _ = utf_8_decode(value, "strict", not is_cut)
    except UnicodeDecodeError:
        return None, b64encode(value[:limit]).decode()
    return text if len(value) <= limit else value[:limit].decode(errors="ignore"), None
