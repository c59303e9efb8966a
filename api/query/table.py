"""The table of an answer: its columns, from which formats, `meta` and OpenAPI's schema follow.

A new pipe says what its rows are here, once; no format knows any column by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from operator import attrgetter
from typing import Any, NamedTuple

Json = Mapping[str, Any]

#: ClickHouse's name of a type, as in `meta` -> what a value of it is in JSON.
_SCHEMAS: Mapping[str, Json] = {
    "String": {"type": "string"},
    # Null where the number is beyond a Float64.
    "Float64": {"type": ["number", "null"]},
    "UInt64": {"type": "integer", "minimum": 0},
    "DateTime": {"type": "string"},
    "Array(String)": {"type": "array", "items": {"type": "string"}},
    "Nullable(String)": {"type": ["string", "null"]},
    "Nullable(Float64)": {"type": ["number", "null"]},
    "Nullable(Int32)": {"type": ["integer", "null"]},
    "Nullable(Int64)": {"type": ["integer", "null"]},
}


class Column(NamedTuple):
    """A column: its name, its type and how it is got out of a row."""

    name: str
    type: str
    get: Callable[[Any], Any]


class Table:
    """Columns in order; a row is any object that has an attribute of each column's name."""

    def __init__(self, types: Mapping[str, str], *, explained: str = "") -> None:
        """Take name and type of each column; `explained` says what the numbers are."""
        self.columns = [Column(name, kind, attrgetter(name)) for name, kind in types.items()]
        self.explained = explained

    @property
    def meta(self) -> list[dict[str, str]]:
        """What an answer in JSON says about its columns."""
        return [{"name": column.name, "type": column.type} for column in self.columns]


def row_schema(tables: Sequence[Table]) -> dict[str, Any]:
    """Return what a row of one of these tables is in JSON, as OpenAPI says it."""
    kinds: dict[str, str] = {}
    for column in chain(*(table.columns for table in tables)):
        if column.type.startswith("Nullable(") or column.name not in kinds:
            kinds[column.name] = column.type
    in_all = set.intersection(*({column.name for column in table.columns} for table in tables))
    return {
        "type": "object",
        "properties": {name: _SCHEMAS[kind] for name, kind in kinds.items()},
        "required": [name for name in kinds if name in in_all],
    }
