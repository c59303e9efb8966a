"""The formats of a pipe: what `/v0/pipes/NAME.FORMAT` is written in, of whatever columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from api.http.media_types import CSV, JSON, NDJSON, PARQUET, PROMETHEUS
from api.query.formats.envelope import JsonRows, answer_schema
from api.query.formats.lines import csv, csv_with_names, ndjson, prometheus
from api.query.formats.parquet import ParquetRows
from api.query.formats.writer import RowsWriter
from api.query.table import Table


def _text(*tables: Table) -> dict[str, Any]:
    return {"type": "string"}


class Format(NamedTuple):
    """A format: how a table's rows are written in it, and what OpenAPI says about some tables."""

    media_type: str
    writer: Callable[[Table], RowsWriter]
    schema: Callable[..., dict[str, Any]] = _text


#: By extension of the path.
FORMATS: Mapping[str, Format] = {
    "json": Format(JSON, JsonRows, answer_schema),
    "csv": Format(CSV, csv),
    "csvwithnames": Format(CSV, csv_with_names),
    "ndjson": Format(NDJSON, ndjson),
    "parquet": Format(PARQUET, ParquetRows),
    "prometheus": Format(PROMETHEUS, prometheus),
}
