"""Where rows of CSV end that continue over lines, in time that grows with the lines.

Where a row ends is what the parser says. A row that turns out to be none is one bad line, and the
next line begins a row; to parse each of them to its end would take the square of the lines where
every line closes a quote and opens one. So each line is parsed at most once for each way to come
into it, and what becomes of a row that continues there is kept.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple, Protocol

from contract.decoding import VALUE_BYTES

#: Ways to come into a line: what precedes it puts a parser into the same state.
_BEGIN, _QUOTED, _ESCAPED = "", '"', "\ue000"
#: Ends a row that continues: as a closing quote, or behind an escaped line end as a character.
_CLOSING = '"\n'


class Parser(Iterator[list[str]], Protocol):
    """A parser of rows."""

    @property
    def line_num(self) -> int:
        """How many lines it has taken."""


class Dialect(Protocol):
    """How cells are written."""

    def parse(self, lines: Iterable[str]) -> Parser:
        """Return a parser of lines, by the strict rules."""


class _Fate(NamedTuple):
    """How a row that continues in a line ends: behind which line, with how many more cells."""

    end: int
    cells: int


class RowEnds:
    """The rows of some lines, one after the other."""

    def __init__(
        self, lines: Sequence[bytes], dialect: Dialect, width: int, *, is_last: bool
    ) -> None:
        """`is_last`: no line comes behind these."""
        self._lines = lines
        self._dialect = dialect
        self._width = width
        self._is_last = is_last
        self._begins = [0, *accumulate(len(line) + 1 for line in lines)]
        self._fates: dict[tuple[int, str], _Fate | None] = {}

    def row(self, place: int) -> tuple[int, list[str] | str] | None:
        """Return over how many lines a row goes and its cells, None if its end is not here.

        What is no row is one line, with what is wrong with it in place of cells, whatever stands
        around it.
        """
        try:
            cells, state = self._step(place, _BEGIN)
        except UnicodeDecodeError as error:
            return 1, f"not UTF-8 at byte {error.start}"
        except csv.Error as error:
            return 1, f"not CSV: {error}"
        if state is None:
            if len(cells) in (0, self._width):
                return 1, cells
            return 1, f"has {len(cells)} cells, not {self._width}"
        fate = self._fate(place + 1, state)
        if fate is not None and self._begins[fate.end] - self._begins[place] <= VALUE_BYTES + 1:
            if fate.cells == 0:
                return None
            if len(cells) - 1 + fate.cells == self._width:
                lines = self._lines[place : fate.end]
                return len(lines), next(
                    self._dialect.parse([line.decode() + "\n" for line in lines])
                )
        return 1, "a quote is not closed, or not as CSV has it"

    def _fate(self, place: int, state: str) -> _Fate | None:
        """Return how a row ends that continues at a line; with no cells where the lines end first.

        None: it is no row.
        """
        passed: list[tuple[tuple[int, str], int]] = []
        while (place, state) not in self._fates:
            at = place, state
            if place == len(self._lines):
                self._fates[at] = None if self._is_last else _Fate(place, 0)
                break
            try:
                cells, following = self._step(place, state)
            except (csv.Error, UnicodeDecodeError):
                self._fates[at] = None
                break
            if following is None:
                self._fates[at] = _Fate(place + 1, len(cells))
                break
            passed.append((at, len(cells) - 1))
            place, state = place + 1, following
        fate = self._fates[place, state]
        for at, some in reversed(passed):
            # Of a row that does not end here nothing is known but that.
            if fate is not None and fate.cells:
                fate = _Fate(fate.end, fate.cells + some)
            self._fates[at] = fate
        return fate

    def _step(self, place: int, state: str) -> tuple[list[str], str | None]:
        """Parse one line; returns the cells it ends or begins, and how the row continues, if so.

        Raises: csv.Error, UnicodeDecodeError.
        """
        line = self._lines[place]
        if len(line) > VALUE_BYTES:
            raise csv.Error(f"more than {VALUE_BYTES} bytes")
        if b"\x00" in line:
            raise csv.Error("has a NUL")
        parser = self._dialect.parse((state + line.decode() + "\n", _CLOSING))
        cells = next(parser)
        if parser.line_num == 1:
            return cells, None
        return cells, _ESCAPED if cells[-1].endswith('"') else _QUOTED
