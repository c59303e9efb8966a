r"""Formats of one line for each row: CSV with and without names, NDJSON, Prometheus.

Strings are quoted as ClickHouse does. What is not there is `\N` in CSV, `NaN` for Prometheus.
Each column of some rows is written at once: a call for each value would take twice the time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from api.query.formats.writer import Summary
from api.query.table import Column, Table

_encode_lines = msgspec.json.Encoder().encode_lines
_NULL = r"\N"
_FLOATS = ("Float64", "Nullable(Float64)")


class LinesOfRows:
    """Writes first lines, a line for each row, and nothing behind them."""

    def __init__(self, head: bytes, write: Callable[[Sequence[Any]], bytes]) -> None:
        self._head = head
        self._write = write

    def head(self) -> bytes:
        """Return the first lines."""
        return self._head

    def rows(self, rows: Sequence[Any]) -> bytes:
        """Return a line for each row."""
        return self._write(rows)

    def tail(self, summary: Summary) -> bytes:
        """Return nothing."""
        return b""


def ndjson(table: Table) -> LinesOfRows:
    """Write each row, a Struct with the table's columns, as JSON."""
    return LinesOfRows(b"", _encode_lines)


def csv(table: Table) -> LinesOfRows:
    """Write the cells of each row."""
    return LinesOfRows(b"", _cells_of(table))


def csv_with_names(table: Table) -> LinesOfRows:
    """Write the names of the columns, then the cells of each row."""
    names = ",".join(f'"{column.name}"' for column in table.columns)
    return LinesOfRows(f"{names}\n".encode(), _cells_of(table))


def _cells_of(table: Table) -> Callable[[Sequence[Any]], bytes]:
    line = ",".join('"%s"' if column.type == "String" else "%s" for column in table.columns)

    def write(rows: Sequence[Any]) -> bytes:
        cells = zip(*[_cells(column, rows) for column in table.columns], strict=True)
        return "".join(map(f"{line}\n".__mod__, cells)).encode()

    return write


def _cells(column: Column, rows: Sequence[Any]) -> Sequence[Any]:
    values = list(map(column.get, rows))
    if column.type == "String":
        return _escaped(values, '"', '""')
    if column.type == "Nullable(String)":
        return [_NULL if each is None else '"' + each.replace('"', '""') + '"' for each in values]
    return [_NULL if each is None else each for each in values] if None in values else values


def prometheus(table: Table) -> LinesOfRows:
    """Write the first number of each row as a gauge, the strings before it as labels."""
    place = next(n for n, column in enumerate(table.columns) if column.type in _FLOATS)
    gauge, strings = table.columns[place], table.columns[:place]
    head = f"# HELP {gauge.name} {table.explained}\n# TYPE {gauge.name} gauge\n"
    labels = ",".join(f'{column.name}="%s"' for column in strings)
    line = f"{gauge.name}{{{labels}}} %s\n"

    def write(rows: Sequence[Any]) -> bytes:
        columns = [_label(column, rows) for column in strings]
        columns.append(["NaN" if each is None else each for each in map(gauge.get, rows)])
        return "".join(map(line.__mod__, zip(*columns, strict=True))).encode()

    return LinesOfRows(head.encode(), write)


def _label(column: Column, rows: Sequence[Any]) -> Sequence[str]:
    values = _escaped(list(map(column.get, rows)), "\\", r"\\")
    return _escaped(_escaped(values, '"', r"\""), "\n", r"\n")


def _escaped(values: list[str], character: str, by: str) -> list[str]:
    """Replace a character where it is; most columns have none."""
    if character not in "".join(values):
        return values
    return [value.replace(character, by) for value in values]
