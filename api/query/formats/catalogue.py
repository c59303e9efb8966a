r"""Rows as text: what `/v0/pipes/energy_consumption_by_device.FORMAT` is written in.

Strings are quoted as ClickHouse does, so that whatever reads the hosted service's answers reads
these; each device_id comes back as it was sent. A total beyond a Float64 is `null`, `\N` in CSV
and `NaN` for Prometheus. Parquet is in `api/query/formats/parquet.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from api.openapi.operation import JSON, STRING, WHOLE_NUMBER, Json, record
from api.query.formats.parquet import PARQUET, ParquetRows
from api.query.listing import Row

CSV = "text/csv; charset=utf-8"
NDJSON = "application/x-ndjson"
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"

_META = [
    {"name": "device_id", "type": "String"},
    {"name": "total_energy_consumed", "type": "Float64"},
]
_encode = msgspec.json.encode
_encode_lines = msgspec.json.Encoder().encode_lines


class Summary(NamedTuple):
    """What is known of a listing once all its rows are written."""

    rows: int
    rows_before_limit: int
    rows_read: int
    bytes_read: int
    elapsed_seconds: float


class RowsWriter(Protocol):
    """Writes one listing: a head, rows as they come, a tail."""

    def head(self) -> bytes:
        """Return what stands before the rows."""
        ...

    def rows(self, rows: Sequence[Row]) -> bytes:
        """Return some more rows; what is not whole yet may be kept back."""
        ...

    def tail(self, summary: Summary) -> bytes:
        """Return what was kept back, and what stands behind the rows."""
        ...


class JsonRows:
    """The tutorial's JSON: `meta`, `data`, and counts behind them."""

    def __init__(self) -> None:
        """Begin without rows."""
        self._separator = b""

    def head(self) -> bytes:
        """Return it up to the first row."""
        return b'{"meta":%b,"data":[' % _encode(_META)

    def rows(self, rows: Sequence[Row]) -> bytes:
        """Return rows, with commas between them and those before."""
        if not rows:
            return b""
        separator, self._separator = self._separator, b","
        return separator + _encode(rows)[1:-1]

    def tail(self, summary: Summary) -> bytes:
        """Return the counts."""
        statistics = {
            "elapsed": round(summary.elapsed_seconds, 6),
            "rows_read": summary.rows_read,
            "bytes_read": summary.bytes_read,
        }
        return b'],"rows":%d,"rows_before_limit_at_least":%d,"statistics":%b}' % (
            summary.rows,
            summary.rows_before_limit,
            _encode(statistics),
        )


class LinesOfRows:
    """Formats of one line for each row, and nothing behind them."""

    def __init__(self, head: bytes, write: Callable[[Sequence[Row]], bytes]) -> None:
        """Keep the first lines, and how rows are written."""
        self._head = head
        self._write = write

    def head(self) -> bytes:
        """Return the first lines."""
        return self._head

    def rows(self, rows: Sequence[Row]) -> bytes:
        """Return a line for each row."""
        return self._write(rows)

    def tail(self, summary: Summary) -> bytes:
        """Return nothing."""
        return b""


def _csv(rows: Sequence[Row]) -> bytes:
    lines = []
    for row in rows:
        device_id, total = row.device_id, row.total_energy_consumed
        if '"' in device_id:
            device_id = device_id.replace('"', '""')
        lines.append(f'"{device_id}",{_NULL if total is None else total}\n')
    return "".join(lines).encode()


def _prometheus(rows: Sequence[Row]) -> bytes:
    lines = []
    for row in rows:
        device_id, total = row.device_id, row.total_energy_consumed
        if '"' in device_id or "\\" in device_id:
            device_id = device_id.replace("\\", r"\\").replace('"', r"\"")
        value = "NaN" if total is None else total
        lines.append(f'total_energy_consumed{{device_id="{device_id}"}} {value}\n')
    return "".join(lines).encode()


_NULL = r"\N"
_CSV_NAMES = b'"device_id","total_energy_consumed"\n'
_PROMETHEUS_HEAD = b"""\
# HELP total_energy_consumed Energy consumed by a device, all readings added.
# TYPE total_energy_consumed gauge
"""
_NUMBER_OR_NULL: Json = {"type": ["number", "null"]}
_ROW = record({"device_id": STRING, "total_energy_consumed": _NUMBER_OR_NULL})
_ANSWER = record(
    {
        "meta": {"const": _META},
        "data": {"type": "array", "items": _ROW},
        "rows": WHOLE_NUMBER,
        "rows_before_limit_at_least": WHOLE_NUMBER,
        "statistics": record(
            {
                "elapsed": {"type": "number", "minimum": 0},
                "rows_read": WHOLE_NUMBER,
                "bytes_read": WHOLE_NUMBER,
            }
        ),
    }
)


class Format(NamedTuple):
    """A format: how it is named, described and written."""

    media_type: str
    schema: Json
    writer: Callable[[], RowsWriter]


#: By extension of the path.
FORMATS: Mapping[str, Format] = {
    "json": Format(JSON, _ANSWER, JsonRows),
    "csv": Format(CSV, STRING, lambda: LinesOfRows(b"", _csv)),
    "csvwithnames": Format(CSV, STRING, lambda: LinesOfRows(_CSV_NAMES, _csv)),
    "ndjson": Format(NDJSON, STRING, lambda: LinesOfRows(b"", _encode_lines)),
    "parquet": Format(PARQUET, STRING, ParquetRows),
    "prometheus": Format(PROMETHEUS, STRING, lambda: LinesOfRows(_PROMETHEUS_HEAD, _prometheus)),
}
