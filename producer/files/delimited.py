r"""CSV: a header or the declared order; a row becomes the JSON value that it says.

A row ends at a line end outside quotes, so a location may hold one. A quote opens at a cell's
begin alone; within a cell it is a character, as in `24" shelf`. A quote that is never closed must
not swallow later rows: where what it opens is no row by the strict rules (behind a closing quote
comes a delimiter or the end), only the first line is bad and the next line begins a row.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence

from contract.decoding import VALUE_BYTES
from producer.files.cells import Dialect, json_values
from producer.files.header import Header, read_header
from producer.files.lines import Lines, rows_of, split_lines
from producer.files.row_ends import RowEnds
from producer.files.rows import Start
from producer.judging import BadRow, Rows, unreadable
from producer.prefetch import with_last


def csv_rows(
    head: bytes, pieces: Iterator[bytes], start: Start, dialect: Dialect
) -> Iterator[Rows]:
    """Yield the values of a file; `head` is its beginning, `pieces` is all of it.

    Raises: FileRefused, before anything is yielded; FileBroken.
    """
    header = read_header(head, dialect)
    reader = _Reader(header, dialect)
    lines = split_lines(pieces, max(start, header.first_row), keep_cr=True)
    # A row that continues behind a fault may be cut off: it is no row, and no line is the last.
    for some, is_last in with_last(lines):
        yield from reader.rows(some, is_last=is_last)


class _Reader:
    def __init__(self, header: Header, dialect: Dialect) -> None:
        self._header = header
        self._dialect = dialect
        #: Lines of a row that continues in the next block.
        self._carried: list[bytes] = []

    def rows(self, some: Lines, *, is_last: bool) -> Iterator[Rows]:
        """Yield the rows of a block of lines."""
        if some.whole is not None:
            if self._carried:
                first = some.first_line - len(self._carried)
                lines, self._carried = self._carried, []
                yield self._block(lines, first, some.position, is_last=True)
            yield rows_of(some)
            return
        if some.blank and not self._carried:
            yield Rows((), (), (), some.next_position, some.next_line)
            return
        first = some.first_line - len(self._carried)
        more = some.blank.split(b"\n")[:-1] or some.lines
        lines, self._carried = self._carried + more, []
        yield self._block(lines, first, some.next_position, is_last=is_last)

    def _block(self, lines: list[bytes], first: int, end: int, *, is_last: bool) -> Rows:
        quick = self._all_at_once(lines)
        if quick is not None:
            numbers: Sequence[int] = range(first, first + len(lines))
            if [] in quick:
                numbers = [n for n, cells in zip(numbers, quick, strict=True) if cells]
                quick = [cells for cells in quick if cells]
            return Rows(
                json_values(quick, self._header.places), numbers, (), end, first + len(lines)
            )
        values, numbers, bad, place = [], [], [], 0
        ends = RowEnds(lines, self._dialect, self._header.width, is_last=is_last)
        while place < len(lines):
            row = ends.row(place)
            if row is None:
                self._carried = lines[place:]
                break
            taken, cells = row
            if isinstance(cells, str):
                bad.append(BadRow(first + place, lines[place], unreadable(cells)))
            elif cells:
                values += json_values([cells], self._header.places)
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
