r"""The first line of a CSV file: which columns there are, or that there are only rows.

Names compare without case and the blanks around them. A first line that names the four columns
is a header, whatever else it names. Rows without a header are read only where somebody has said
what stands where (`--columns`), or where the first one is a reading as it stands: anything else
is refused before the first row, for what is guessed wrong is counted wrong.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from typing import NamedTuple

from contract.decoding import COLUMNS, VALUE_BYTES, validate
from contract.errors import InvalidReading, echo
from contract.validation import BYTE_ORDER_MARK
from producer.errors import FileRefused
from producer.files.cells import Dialect, json_value
from producer.files.rows import Start

_WANTED = f"the columns are {', '.join(COLUMNS)}, in any order and case"
#: Loose on purpose: what looks like a number or a time to a person is no name of a column.
_number_or_time = re.compile(r"[+-]?[.,]?[0-9][0-9.,:/ TZeE+-]*").fullmatch


class Header(NamedTuple):
    """Where the four columns stand, of how many, and where the first row begins."""

    places: tuple[int, ...]
    width: int
    first_row: Start


def read_header(head: bytes, dialect: Dialect) -> Header:
    """Read it from the first bytes of a file. Raises: FileRefused."""
    begin, line = _first_line(head)
    order = dialect.columns or COLUMNS
    ordered = Header(tuple(map(order.index, COLUMNS)), len(order), Start(begin, line))
    if begin > VALUE_BYTES:
        raise FileRefused(f"more than {VALUE_BYTES} blank bytes come before the header")
    if begin == len(head):
        return ordered
    cells, behind = _first_cells(head, Start(begin, line), dialect)
    names = [cell.strip().lower() for cell in cells]
    if all(names.count(column) == 1 for column in COLUMNS):
        return Header(tuple(map(names.index, COLUMNS)), len(names), behind)
    is_header = not any(map(_number_or_time, map(str.strip, cells)))
    if len(cells) == len(order):
        if dialect.columns is not None:
            return ordered._replace(first_row=behind) if is_header else ordered
        if not is_header and _is_reading(cells):
            return ordered
    shown = echo(dialect.delimiter.join(cells))
    raise FileRefused(f"{_problem(cells, names, order)}; the first line is {shown}; {_WANTED}")


def _first_line(head: bytes) -> Start:
    """Return where the first line that is not blank begins."""
    begin, line = len(BYTE_ORDER_MARK) if head.startswith(BYTE_ORDER_MARK) else 0, 1
    while begin < len(head):
        end = head.find(b"\n", begin) + 1 or len(head)
        if head[begin:end].strip():
            break
        begin, line = end, line + 1
    return Start(begin, line)


def _first_cells(head: bytes, start: Start, dialect: Dialect) -> tuple[list[str], Start]:
    """Return the cells of the first row, which may go over lines, and what is behind it."""
    begin, line = start

    def texts() -> Iterator[str]:
        nonlocal begin, line
        while begin < len(head) and begin - start.position <= VALUE_BYTES:
            end = head.find(b"\n", begin) + 1 or len(head)
            text, begin, line = head[begin:end], end, line + 1
            yield text.decode()

    try:
        return next(dialect.parse(texts()), []), Start(begin, line)
    except (UnicodeDecodeError, csv.Error) as error:
        raise FileRefused(f"the first line is not CSV: {error}; {_WANTED}") from error


def _is_reading(cells: list[str]) -> bool:
    try:
        validate(json_value(*cells))
    except InvalidReading:
        return False
    return True


def _problem(cells: list[str], names: list[str], order: tuple[str, ...]) -> str:
    """Say why it is neither a header nor a row."""
    found = [column for column in COLUMNS if column in names]
    for column in COLUMNS:
        if found and (count := names.count(column)) != 1:
            return f"the header {'names twice' if count else 'lacks'} {column}"
    if len(cells) != len(order):
        return f"the first line has {len(cells)} cells and is not a header"
    try:
        validate(json_value(*cells))
    except InvalidReading as error:
        return f"the first line is neither a header nor a row: {error}"
    return "the first line is not a header"
