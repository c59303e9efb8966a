r"""Cells of a row as the JSON value that they say, and how they are written in a CSV file.

A cell is a text; `\N` is null; a number by JSON's grammar becomes a bare number, whatever else
stands there is left to the validator.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec

from producer.files.row_ends import Parser

_NULL = r"\N"
_number = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?").fullmatch

#: Characters that JSON does not have as they are.
_special = re.compile(r'["\\\x00-\x1f]').search
_PLAIN = '{"timestamp":"%s","device_id":"%s","energy_consumed":%s,"location":"%s"}'


@dataclass(frozen=True)
class Dialect:
    """How the cells of a CSV file are written.

    `columns` is their order where somebody has said so, for files without a header.
    """

    delimiter: str = ","
    escape: str | None = None
    columns: tuple[str, ...] | None = None

    def parse(self, lines: Iterable[str]) -> Parser:
        """Return the rows of lines, by the strict rules."""
        return csv.reader(lines, _rules(self.delimiter, self.escape))


@cache
def _rules(delimiter: str, escape: str | None) -> Any:
    """Return the rules as a parser keeps them: making them costs more than parsing a line."""
    return csv.reader((), delimiter=delimiter, escapechar=escape, strict=True).dialect


class _Row(msgspec.Struct, gc=False):
    timestamp: str | None
    device_id: str | None
    energy_consumed: Any
    location: str | None


_encode = msgspec.json.Encoder().encode


def json_value(
    timestamp: str | None, device_id: str | None, energy: str | None, location: str | None
) -> bytes:
    """Write the JSON value that four texts say."""
    number = msgspec.Raw(energy.encode()) if energy and _number(energy) else energy
    return _encode(_Row(timestamp, device_id, number, location))


def json_values(rows: Sequence[Sequence[str]], places: Sequence[int]) -> list[bytes]:
    """Write the JSON values of rows whose four columns stand at `places`.

    All at once where nothing in them needs a closer look.
    """
    if not rows:
        return []
    columns = list(zip(*rows, strict=True))
    four = [columns[place] for place in places]
    if not all(map(_number, four[2])) or any(_special("".join(column)) for column in four):
        return [json_value(*(_text(row[place]) for place in places)) for row in rows]
    return "\n".join(map(_PLAIN.__mod__, zip(*four, strict=True))).encode().split(b"\n")


def _text(cell: str) -> str | None:
    return None if cell == _NULL else cell
