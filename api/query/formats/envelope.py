"""The tutorial's JSON: `meta`, `data`, and counts behind them. All pipes answer so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from api.query.formats.writer import Summary
from api.query.table import Table, row_schema

_encode = msgspec.json.encode
_COUNT = {"type": "integer", "minimum": 0}


class JsonRows:
    """Writes rows that are Structs with the table's columns, or JSON already."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._separator = b""

    def head(self) -> bytes:
        """Return it up to the first row."""
        return b'{"meta":%b,"data":[' % _encode(self._table.meta)

    def rows(self, rows: Sequence[Any]) -> bytes:
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


def answer_schema(*tables: Table) -> dict[str, Any]:
    """Return what such an answer is, as OpenAPI says it: of one of the tables."""
    statistics = {
        "elapsed": {"type": "number", "minimum": 0},
        "rows_read": _COUNT,
        "bytes_read": _COUNT,
    }
    properties = {
        "meta": {"enum": [table.meta for table in tables]},
        "data": {"type": "array", "items": row_schema(tables)},
        "rows": _COUNT,
        "rows_before_limit_at_least": _COUNT,
        "statistics": {
            "type": "object",
            "properties": statistics,
            "required": list(statistics),
        },
    }
    return {"type": "object", "properties": properties, "required": list(properties)}
