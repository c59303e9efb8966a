"""The bytes of the events of a stream.

    snapshot   {"rows": [...], "more": true|false}
    change     {"rows": [...]}, with "left": [...] where the first N are watched
    progress   {"applied_offsets": {...}, "lag_records": ..., "freshness_seconds": ...}

An event has an id where its reader has all that is applied up to the offsets in it; what comes
before, in several events, has none, so that whoever breaks off there is sent all again.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from api.view.stored_total import exact_total
from api.view.totals_view import TotalsView

_encode = msgspec.json.encode

NAMES = ("snapshot", "change", "progress")
#: When clients come again after an end: each by chance, so that not all come at once.
RETRY_MILLISECONDS = (500, 2_500)


def encode_rows(source: TotalsView, devices: Iterable[bytes]) -> dict[bytes, bytes]:
    """Return the rows of those devices that are known as JSON; 5 us each. Raises: Unavailable."""
    with source.snapshot() as totals:
        return {each: _encode(exact_total(each, stored)) for each, stored in totals.many(devices)}


def snapshot(rows: Iterable[bytes], *, more: bool, event_id: bytes | None) -> bytes:
    """Write a snapshot, or a part of one."""
    end = b'],"more":true}' if more else b'],"more":false}'
    return _event(b"snapshot", event_id, b'{"rows":[' + b",".join(rows) + end)


def change(rows: Iterable[bytes], left: Sequence[str] | None, event_id: bytes | None) -> bytes:
    """Write rows that changed, and which devices are no longer among the first."""
    end = b"]}" if left is None else b'],"left":' + _encode(left) + b"}"
    return _event(b"change", event_id, b'{"rows":[' + b",".join(rows) + end)


def progress(
    applied_offsets: Sequence[int],
    lag_records: int | None,
    freshness_seconds: float | None,
    event_id: bytes,
) -> bytes:
    """Write how far the rows sent are."""
    said: dict[str, Any] = {
        "applied_offsets": {str(p): offset for p, offset in enumerate(applied_offsets)},
        "lag_records": lag_records,
        "freshness_seconds": None if freshness_seconds is None else round(freshness_seconds, 3),
    }
    return _event(b"progress", event_id, _encode(said))


def retry() -> bytes:
    """Write after which time a client is to connect again."""
    return b"retry: %d\n\n" % random.randint(*RETRY_MILLISECONDS)


def _event(name: bytes, event_id: bytes | None, data: bytes) -> bytes:
    # JSON has no line ends in it, so one line of data is enough.
    said = b"" if event_id is None else b"id: " + event_id + b"\n"
    return b"event: " + name + b"\n" + said + b"data: " + data + b"\n\n"
