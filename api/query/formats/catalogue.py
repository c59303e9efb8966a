"""The formats of a pipe: what `/v0/pipes/NAME.FORMAT` is written in, of whatever columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from api.http.media_types import CSV, JSON, NDJSON, PARQUET, PROMETHEUS
from api.query.formats.envelope import JsonRows, answer_schema
from api.query.formats.lines import csv, csv_with_names, ndjson, prometheus
from api.query.formats.writer import RowsWriter
from api.query.table import Table


def _text(*tables: Table) -> dict[str, Any]:
    return {"type": "string"}


class Format(NamedTuple):
    """A format: how a table's rows are written in it, and what OpenAPI says about some tables."""

    media_type: str
    writer: Callable[[Table], RowsWriter]
    schema: Callable[..., dict[str, Any]] = _text
    #: Whether a writer is made at once; else a thread has to make it.
    is_loaded: Callable[[], bool] = lambda: True


class _Parquet:
    """Makes writers of Parquet; the first one imports Arrow, without which an API starts sooner."""

    def __init__(self) -> None:
        self._is_loaded = False

    def __call__(self, table: Table) -> RowsWriter:
        from api.query.formats.parquet import ParquetRows

        self._is_loaded = True
        return ParquetRows(table)

    def is_loaded(self) -> bool:
        return self._is_loaded


PARQUET_WRITERS = _Parquet()


#: By extension of the path.
FORMATS: Mapping[str, Format] = {
    "json": Format(JSON, JsonRows, answer_schema),
    "csv": Format(CSV, csv),
    "csvwithnames": Format(CSV, csv_with_names),
    "ndjson": Format(NDJSON, ndjson),
    "parquet": Format(PARQUET, PARQUET_WRITERS, is_loaded=PARQUET_WRITERS.is_loaded),
    "prometheus": Format(PROMETHEUS, prometheus),
}
