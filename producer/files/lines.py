"""Lines of a stream of bytes, many at a time; one that is too long is skipped, not kept.

Split at LF only: other line ends may stand in a string. A CR before the LF is not part of the
line unless asked for. Guarantees: of a line of any length at most VALUE_BYTES and one piece are
in memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from contract.decoding import VALUE_BYTES
from contract.quarantine import Whole
from producer.errors import FileBroken
from producer.files.rows import SLICE_BYTES, SLICE_ROWS, Start
from producer.judging import BadRow, Rows, too_long

#: What JSON takes for blank.
BLANKS = b" \t\r\n"
#: So much is split at once, with the interpreter's lock held: 64 Ki lines at most, some 3 ms.
_WINDOW_BYTES = 64 * 1024


class Lines(NamedTuple):
    """Consecutive lines, without their ends.

    With `whole` it is one, cut to a byte more than a value may have. With `blank` there are none:
    it is many blank lines, with their ends, which would cost 100 times as much one by one.
    """

    lines: list[bytes]
    first_line: int
    position: int
    next_position: int
    whole: Whole | None = None
    blank: bytes = b""

    @property
    def next_line(self) -> int:
        """The number of the line behind them."""
        return self.first_line + len(self.lines) + self.blank.count(b"\n")


def rows_of(some: Lines) -> Rows:
    """Return the lines that are not blank as rows; one that is cut is a bad row."""
    lines: Sequence[bytes] = some.lines
    numbers: Sequence[int] = range(some.first_line, some.first_line + len(lines))
    bad: Sequence[BadRow] = ()
    if some.whole is not None:
        bad = (too_long(some.first_line, some.lines[0], some.whole),)
        lines, numbers = (), ()
    elif not all(map(bytes.strip, lines)):
        kept = [(n, line) for n, line in zip(numbers, lines, strict=True) if line.strip(BLANKS)]
        numbers, lines = [n for n, _ in kept], [line for _, line in kept]
    return Rows(lines, numbers, bad, some.next_position, some.next_line)


def split_lines(pieces: Iterable[bytes], start: Start, *, keep_cr: bool = False) -> Iterator[Lines]:
    """Yield all lines from a start on; `pieces` is the stream from its first byte.

    Shape: at most SLICE_ROWS lines and about SLICE_BYTES at once.
    Raises: FileBroken, after all whole lines before the fault.
    """
    splitter = LineSplitter(start, keep_cr=keep_cr)
    skip = start.position
    try:
        for piece in pieces:
            if skip >= len(piece):
                skip -= len(piece)
                continue
            yield from splitter.feed(piece[skip:] if skip else piece)
            skip = 0
    except FileBroken:
        # The line that the fault is in may be cut off: it is no row.
        yield from splitter.whole_lines()
        raise
    yield from splitter.rest()


class LineSplitter:
    """Cuts a stream into lines as it comes."""

    def __init__(
        self,
        start: Start,
        *,
        keep_cr: bool = False,
        most_rows: int = SLICE_ROWS,
        most_bytes: int = SLICE_BYTES,
    ) -> None:
        """Begin at a start; yield at most so many lines, about so many bytes at once."""
        self._keep_cr = keep_cr
        #: Where a CR is kept, other blanks may be a cell.
        self._blanks = b"\r\n" if keep_cr else BLANKS
        self._most_rows = most_rows
        self._most_bytes = most_bytes
        self._position = start.position
        self._line = start.line
        self._kept = b""
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        # Of a line that is too long: its beginning, its length, and what its hash needs.
        self._head: bytes | None = None
        self._length = 0
        self._hash = hashlib.sha256()

    def feed(self, piece: bytes) -> Iterator[Lines]:
        """Take a piece of the stream."""
        for start in range(0, len(piece), _WINDOW_BYTES):
            yield from self._feed(piece[start : start + _WINDOW_BYTES])

    def _feed(self, piece: bytes) -> Iterator[Lines]:
        if self._head is not None:
            end = piece.find(b"\n")
            self._skip(piece if end < 0 else piece[:end])
            if end < 0:
                return
            yield self._long_line(1)
            piece = piece[end + 1 :]
        piece = self._kept + piece
        if not piece.strip(self._blanks) and b"\n" in piece:
            yield from self._blank_lines(piece)
            return
        lines = piece.split(b"\n")
        self._kept = lines.pop()
        self._pending += lines
        self._pending_bytes += sum(map(len, lines)) + len(lines)
        while len(self._pending) >= self._most_rows:
            some = self._pending[: self._most_rows]
            del self._pending[: self._most_rows]
            before = self._position
            yield self._lines(some, 1)
            self._pending_bytes -= self._position - before
        if self._pending_bytes >= self._most_bytes:
            yield from self.whole_lines()
        if len(self._kept) > VALUE_BYTES + 1:
            yield from self.whole_lines()
            self._head, self._length, self._hash = b"", 0, hashlib.sha256()
            kept, self._kept = self._kept, b""
            self._skip(kept)

    def whole_lines(self) -> Iterator[Lines]:
        """Yield the lines that are whole."""
        lines, self._pending, self._pending_bytes = self._pending, [], 0
        if lines:
            yield self._lines(lines, 1)

    def rest(self) -> Iterator[Lines]:
        """Yield what is left at the end of the stream, which needs no LF."""
        yield from self.whole_lines()
        if self._head is not None:
            yield self._long_line(0)
        elif self._kept:
            yield self._lines([self._kept], 0)

    def _lines(self, lines: list[bytes], end_bytes: int) -> Lines:
        position = self._position
        self._position += sum(map(len, lines)) + len(lines) * end_bytes
        first, self._line = self._line, self._line + len(lines)
        if not self._keep_cr and any(line.endswith(b"\r") for line in lines):
            lines = [line.removesuffix(b"\r") for line in lines]
        return Lines(lines, first, position, self._position)

    def _blank_lines(self, piece: bytes) -> Iterator[Lines]:
        yield from self.whole_lines()
        end = piece.rindex(b"\n") + 1
        blank, self._kept = piece[:end], piece[end:]
        some = Lines([], self._line, self._position, self._position + end, None, blank)
        self._position, self._line = some.next_position, some.next_line
        yield some

    def _skip(self, piece: bytes) -> None:
        assert self._head is not None
        self._head += piece[: VALUE_BYTES + 1 - len(self._head)]
        self._length += len(piece)
        self._hash.update(piece)

    def _long_line(self, end_bytes: int) -> Lines:
        head, self._head = self._head, None
        assert head is not None
        position = self._position
        self._position += self._length + end_bytes
        self._line += 1
        whole = Whole(self._length, self._hash.hexdigest())
        return Lines([head], self._line - 1, position, self._position, whole)
