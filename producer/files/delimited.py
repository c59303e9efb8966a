r"""CSV: a header or the declared order; a row becomes the JSON value that it says.

A row ends at a line end outside quotes, so a location may hold one. A quote opens at a cell's
begin alone; within a cell it is a character, as in `24" shelf`. A quote that is never closed must
not swallow later rows: where what it opens is no row by the strict rules (behind a closing quote
comes a delimiter or the end), only the first line is bad and the next line begins a row.

A cell is a text; `\N` is null; a number by JSON's grammar becomes a bare number, whatever else
stands there is left to the validator.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

import msgspec

from contract.errors import echo
from contract.reading import COLUMNS, VALUE_BYTES
from producer.errors import FileBroken, FileRefused
from producer.files.lines import Lines, split_lines
from producer.files.rows import BadRow, Rows, Start, unreadable

_BOM = b"\xef\xbb\xbf"
_NULL = r"\N"
_number = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?").fullmatch

#: Characters that JSON does not have as they are.
_special = re.compile(r'["\\\x00-\x1f]').search
_PLAIN = '{"timestamp":"%s","device_id":"%s","energy_consumed":%s,"location":"%s"}'


@dataclass(frozen=True)
class Dialect:
    """How the cells of a CSV file are written; `columns` is the order where there is no header."""

    delimiter: str = ","
    escape: str | None = None
    columns: tuple[str, ...] = COLUMNS

    def parse(self, lines: Iterable[str]) -> Iterator[list[str]]:
        """Return the rows of lines, by the strict rules."""
        return csv.reader(lines, delimiter=self.delimiter, escapechar=self.escape, strict=True)


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


class _Header(NamedTuple):
    """Where the four columns stand, and where the first row begins."""

    places: tuple[int, ...]
    width: int
    first_row: Start


def csv_rows(pieces: Iterator[bytes], start: Start, dialect: Dialect) -> Iterator[Rows]:
    """Yield the values of a file. Raises: FileRefused, before anything is yielded; FileBroken."""
    head, fault = b"", None
    try:
        while len(head) <= VALUE_BYTES and (piece := next(pieces, b"")):
            head += piece
    except FileBroken as error:
        if b"\n" not in head:
            raise
        fault = error
    if not head.removeprefix(_BOM).strip():
        head = b""
    header = _read_header(head, dialect)
    start = max(start, header.first_row)
    reader = _Reader(header, dialect)
    for some, is_last in _with_last(
        split_lines(chain([head], _rest(pieces, fault)), start, keep_cr=True)
    ):
        yield from reader.rows(some, is_last=is_last)


def _rest(pieces: Iterator[bytes], fault: FileBroken | None) -> Iterator[bytes]:
    if fault is not None:
        raise fault
    yield from pieces


def _read_header(head: bytes, dialect: Dialect) -> _Header:
    begin = len(_BOM) if head.startswith(_BOM) else 0
    line, _, _ = head[begin:].partition(b"\n")
    try:
        cells = next(dialect.parse([line.decode()]), [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise FileRefused(f"the first line is no line of CSV: {error}") from error
    if not set(cells) & set(COLUMNS):
        if head and len(cells) != len(dialect.columns):
            raise FileRefused(
                f"the first line has {len(cells)} cells and is no header: a header must name"
                f" {', '.join(COLUMNS)}; without one rows are {', '.join(dialect.columns)}"
            )
        places = tuple(map(dialect.columns.index, COLUMNS))
        return _Header(places, len(dialect.columns), Start(begin, 1))
    for column in COLUMNS:
        if cells.count(column) != 1:
            problem = "lacks" if column not in cells else "names twice"
            raise FileRefused(f"the header {problem} {column}; it is {echo(line.decode())}")
    places = tuple(map(cells.index, COLUMNS))
    return _Header(places, len(cells), Start(begin + len(line) + 1, 2))


def _with_last(blocks: Iterator[Lines]) -> Iterator[tuple[Lines, bool]]:
    """Yield each block, and whether it is the last one."""
    held: Lines | None = None
    try:
        for block in blocks:
            if held is not None:
                yield held, False
            held = block
    except FileBroken:
        if held is not None:
            # A row that goes on behind it may be cut off: it is no row.
            yield held, False
        raise
    if held is not None:
        yield held, True


class _GoesOn(Exception):
    """A row goes on behind the lines that are here."""


class _Reader:
    def __init__(self, header: _Header, dialect: Dialect) -> None:
        self._header = header
        self._dialect = dialect
        #: Lines of a row that goes on in the next block.
        self._carried: list[bytes] = []

    def rows(self, some: Lines, *, is_last: bool) -> Iterator[Rows]:
        """Yield the rows of a block of lines."""
        if some.whole is not None:
            if self._carried:
                first = some.first_line - len(self._carried)
                lines, self._carried = self._carried, []
                yield self._block(lines, first, some.position, is_last=True)
            error = unreadable(f"more than {VALUE_BYTES} bytes")
            bad = BadRow(some.first_line, some.lines[0], error, some.whole)
            yield Rows((), (), (bad,), some.next_position, some.next_line)
            return
        first = some.first_line - len(self._carried)
        lines, self._carried = self._carried + some.lines, []
        yield self._block(lines, first, some.next_position, is_last=is_last)

    def _block(self, lines: list[bytes], first: int, end: int, *, is_last: bool) -> Rows:
        quick = self._all_at_once(lines)
        if quick is not None:
            numbers: Sequence[int] = range(first, first + len(lines))
            if [] in quick:
                numbers = [n for n, cells in zip(numbers, quick, strict=True) if cells]
                quick = [cells for cells in quick if cells]
            return Rows(self._values(quick), numbers, (), end, first + len(lines))
        values, numbers, bad, place = [], [], [], 0
        while place < len(lines):
            row = self._row(lines, place, is_last=is_last)
            if row is None:
                self._carried = lines[place:]
                break
            taken, cells = row
            if isinstance(cells, str):
                bad.append(BadRow(first + place, lines[place], unreadable(cells)))
            elif cells:
                values.append(self._value(cells))
                numbers.append(first + place)
            place += taken
        end -= sum(map(len, self._carried)) + len(self._carried)
        return Rows(values, numbers, bad, end, first + place)

    def _all_at_once(self, lines: list[bytes]) -> list[list[str]] | None:
        """Return the cells of lines that are a good row each, None if any is not."""
        try:
            text = b"\n".join(lines)
            if b"\x00" in text or max(map(len, lines), default=0) > VALUE_BYTES:
                return None
            rows = list(self._dialect.parse(text.decode().split("\n")))
        except (csv.Error, UnicodeDecodeError):
            return None
        # A row over several lines would make them fewer than lines.
        if len(rows) != len(lines) or {*map(len, rows)} - {self._header.width, 0}:
            return None
        return rows

    def _row(
        self, lines: list[bytes], place: int, *, is_last: bool
    ) -> tuple[int, list[str] | str] | None:
        """Return over how many lines a row goes and its cells, None if its end is not here.

        What is no row is one line, with what is wrong with it in place of cells: the parser says
        where a row ends, so a row is judged alike whatever stands around it.
        """
        taken = size = 0

        def texts() -> Iterator[str]:
            nonlocal taken, size
            for at in range(place, len(lines)):
                size += len(lines[at]) + 1
                if size > VALUE_BYTES + 1:
                    raise csv.Error(f"more than {VALUE_BYTES} bytes")
                if b"\x00" in lines[at]:
                    raise csv.Error("has a NUL")
                taken += 1
                yield lines[at].decode() + "\n"
            if not is_last:
                raise _GoesOn

        try:
            cells = next(self._dialect.parse(texts()))
        except _GoesOn:
            return None
        except UnicodeDecodeError as error:
            problem = f"not UTF-8 at byte {error.start}"
        except csv.Error as error:
            problem = f"no line of CSV: {error}"
        else:
            if len(cells) in (0, self._header.width):
                return taken, cells
            problem = f"has {len(cells)} cells, not {self._header.width}"
        return 1, problem if taken <= 1 else "a quote is not closed, or not as CSV has it"

    def _values(self, rows: list[list[str]]) -> list[bytes]:
        """Write the JSON values of rows; all at once where nothing in them needs a closer look."""
        if not rows:
            return []
        columns = list(zip(*rows, strict=True))
        four = [columns[place] for place in self._header.places]
        if not all(map(_number, four[2])) or any(_special("".join(column)) for column in four):
            return list(map(self._value, rows))
        return "\n".join(map(_PLAIN.__mod__, zip(*four, strict=True))).encode().split(b"\n")

    def _value(self, cells: list[str]) -> bytes:
        """Write the JSON value of a row."""
        texts = [cells[place] for place in self._header.places]
        return json_value(*(None if text == _NULL else text for text in texts))
