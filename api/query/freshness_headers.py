"""What every answer with totals says about itself: version, applied offsets, lag, ETag."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from api.view.end_offsets import LagWatch
from api.view.version_view import ViewVersionView

_ENTITY_TAG = re.compile(rb'(?:W/)?"([^"]*)"')


def read_headers(view: ViewVersionView, lag: LagWatch) -> dict[str, str]:
    """Return the headers of an answer made from this view now."""
    offsets = view.applied_offsets()
    records = lag.lag_records(offsets)
    return {
        "X-View-Version": str(view.view_version),
        "X-Applied-Offsets": ",".join([f"{p}:{offset}" for p, offset in enumerate(offsets)]),
        "X-Lag-Records": "unknown" if records is None else str(records),
        "Cache-Control": "no-cache",
    }


def entity_tag(view: ViewVersionView) -> str:
    """Return the weak ETag of what this view shows now.

    It names the log, too: another cluster, or a topic made again, has the same offsets for
    other totals. Hashed, it is short however many partitions there are.
    """
    birth = view.partitions[0].birth
    log = ("", "") if birth is None else (birth.cluster_id, birth.changelog_topic_id)
    said = repr((log, view.view_version, view.applied_offsets()))
    return f'W/"{hashlib.blake2b(said.encode(), digest_size=12).hexdigest()}"'


def is_same(headers: Iterable[tuple[bytes, bytes]], tag: str) -> bool:
    """Whether If-None-Match names this ETag; what it cannot be read as does not."""
    opaque = tag[3:-1].encode()
    for name, value in headers:
        if name == b"if-none-match" and (
            value.strip() == b"*" or opaque in _ENTITY_TAG.findall(value)
        ):
            return True
    return False
