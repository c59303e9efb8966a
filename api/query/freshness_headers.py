"""What every answer with totals says about itself: version, applied offsets, lag, ETag."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence

from api.auth.bounds import Bounds
from api.query.time_zones import VERSION
from api.view.end_offsets import LagWatch
from api.view.series_view import SeriesView
from api.view.totals_view import TotalsView

_ENTITY_TAG = re.compile(rb'(?:W/)?"([^"]*)"')


#: The version of the zone data: other data, other buckets.
ZONES_HEADER = {"X-Timezone-Version": VERSION}


def read_headers(view_version: int, offsets: Sequence[int], lag: LagWatch) -> dict[str, str]:
    """Return the headers of an answer of a view version, as of these applied offsets.

    The answer may be newer than they say, never older.
    """
    records = lag.lag_records(offsets)
    return {
        "X-View-Version": str(view_version),
        "X-Applied-Offsets": ",".join([f"{p}:{offset}" for p, offset in enumerate(offsets)]),
        "X-Lag-Records": "unknown" if records is None else str(records),
        "Cache-Control": "no-cache",
    }


def entity_tag(source: TotalsView, offsets: Sequence[int], bounds: Bounds | None = None) -> str:
    """Return the weak ETag of what totals show at these offsets, within a token's bounds.

    It names the log, too: another cluster, or a topic made again, has the same offsets for
    other totals. Hashed, it is short however many partitions there are.
    """
    return _tag(source.log, source.view_version, offsets, bounds and bounds.tag)


def series_tag(source: SeriesView, offsets: Sequence[int], *asked: object) -> str:
    """Return the weak ETag of what the series shows at these offsets of what was asked."""
    shown = offsets, source.removed_rows()
    return _tag(source.log, source.view_version, shown, VERSION, *asked)


def _tag(*said: object) -> str:
    return f'W/"{hashlib.blake2b(repr(said).encode(), digest_size=12).hexdigest()}"'


def is_same(headers: Iterable[tuple[bytes, bytes]], tag: str) -> bool:
    """Whether If-None-Match names this ETag; what it cannot be read as does not."""
    opaque = tag[3:-1].encode()
    for name, value in headers:
        if name == b"if-none-match" and (
            value.strip() == b"*" or opaque in _ENTITY_TAG.findall(value)
        ):
            return True
    return False
