"""Lines of a stream of bytes, many at a time; one that is too long is skipped, not kept.

Split at LF only: other line ends may stand in a string. A CR before the LF is not part of the
line unless asked for. Guarantees: of a line of any length at most VALUE_BYTES and one piece are
in memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from contract.quarantine import Whole
from contract.reading import VALUE_BYTES
from producer.errors import FileBroken
from producer.files.rows import SLICE_BYTES, SLICE_ROWS, Start


class Lines(NamedTuple):
    """Consecutive lines, without their ends; with `whole` it is one, and cut."""

    lines: list[bytes]
    first_line: int
    position: int
    next_position: int
    whole: Whole | None = None

    @property
    def next_line(self) -> int:
        """The number of the line behind them."""
        return self.first_line + len(self.lines)


def split_lines(pieces: Iterable[bytes], start: Start, *, keep_cr: bool = False) -> Iterator[Lines]:
    """Yield all lines from a start on; `pieces` is the stream from its first byte.

    Shape: at most SLICE_ROWS lines and about SLICE_BYTES at once.
    Raises: FileBroken, after all whole lines before the fault.
    """
    splitter = _Splitter(start, keep_cr)
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


class _Splitter:
    def __init__(self, start: Start, keep_cr: bool) -> None:
        self._keep_cr = keep_cr
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
        if self._head is not None:
            end = piece.find(b"\n")
            self._skip(piece if end < 0 else piece[:end])
            if end < 0:
                return
            yield self._long_line(1)
            piece = piece[end + 1 :]
        lines = (self._kept + piece).split(b"\n") if self._kept else piece.split(b"\n")
        self._kept = lines.pop()
        self._pending += lines
        self._pending_bytes += sum(map(len, lines)) + len(lines)
        if len(self._pending) >= SLICE_ROWS or self._pending_bytes >= SLICE_BYTES:
            yield from self.whole_lines()
        if len(self._kept) > VALUE_BYTES + 1:
            yield from self.whole_lines()
            self._head, self._length, self._hash = b"", 0, hashlib.sha256()
            kept, self._kept = self._kept, b""
            self._skip(kept)

    def whole_lines(self) -> Iterator[Lines]:
        """Yield the lines that are whole."""
        lines, self._pending, self._pending_bytes = self._pending, [], 0
        for place in range(0, len(lines), SLICE_ROWS):
            yield self._lines(lines[place : place + SLICE_ROWS], 1)

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

    def _skip(self, piece: bytes) -> None:
        assert self._head is not None
        self._head += piece[: VALUE_BYTES - len(self._head)]
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
