"""Inflating a body piece by piece, with every member of it, never past what is allowed.

gzip and zstd bodies may have several members or frames; all are read (stopping after the first
loses acknowledged rows). A piece that inflates a thousandfold comes out in bounded pieces, many
members of a few bytes in one; either way the caller is asked between little input, and time grows
with the bytes in and out.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

import zstandard

from api.errors import BadRequest
from contract.errors import echo

#: At most this much comes out at once, or one step of a decoder more.
PIECE_BYTES = 256 * 1024
#: So much goes in at most until something, or nothing, is handed out: some 3 ms. The decoder
#: copies what is behind a member, and a member may be 20 bytes.
INPUT_BYTES = 16 * 1024
_GZIP_WINDOW = 31
_ZLIB_WINDOW = 15
_RAW_WINDOW = -15
#: A window larger than this is no honest body's; it bounds the memory of one decoder.
_ZSTD_WINDOW_BYTES = 8 * 1024 * 1024
#: zstd's decoder takes no limit for what comes out: four bytes may become 128 KiB. So little goes
#: in at once (8 MiB at most come out), and less where much came out (1 MiB).
_ZSTD_INPUT_BYTES = 256
_ZSTD_LEAST_INPUT_BYTES = 32


class Inflater(Protocol):
    """Turns received bytes into the bytes they stand for."""

    def feed(self, received: bytes) -> Iterator[bytes]:
        """Yield what comes out, maybe nothing, in bounded pieces. Raises: BadRequest."""
        ...

    def finish(self) -> None:
        """Check that nothing is missing. Raises: BadRequest."""
        ...


class Identity:
    """No coding at all."""

    def feed(self, received: bytes) -> Iterator[bytes]:
        """Yield it as it is."""
        yield received

    def finish(self) -> None:
        """Nothing can be missing."""


class _Members:
    """Coding with members, of which a piece may hold thousands."""

    def feed(self, received: bytes) -> Iterator[bytes]:
        """Yield what comes out, in bounded pieces. Raises: BadRequest."""
        for start in range(0, len(received), INPUT_BYTES):
            some, size = [], 0
            for piece in self._inflate(received[start : start + INPUT_BYTES]):
                some.append(piece)
                size += len(piece)
                if size >= PIECE_BYTES:
                    yield b"".join(some)
                    some, size = [], 0
            yield b"".join(some)

    def _inflate(self, received: bytes) -> Iterator[bytes]:
        raise NotImplementedError


class Gzip(_Members):
    """One gzip member after the other."""

    name = "gzip"

    def __init__(self) -> None:
        """Expect the first member."""
        self._member = zlib.decompressobj()
        self._is_open = False
        self._members = 0

    def _window(self, first: bytes) -> int:
        return _GZIP_WINDOW

    def _inflate(self, received: bytes) -> Iterator[bytes]:
        while received:
            if not self._is_open:
                self._member = zlib.decompressobj(self._window(received))
                self._is_open = True
                self._members += 1
            try:
                piece = self._member.decompress(received, PIECE_BYTES)
            except zlib.error as error:
                raise BadRequest(f"the body is no {self.name}: {error}") from None
            if piece:
                yield piece
            if self._member.eof:
                received, self._is_open = self._member.unused_data, False
            else:
                received = self._member.unconsumed_tail

    def finish(self) -> None:
        """Check that the last member is whole. Raises: BadRequest."""
        if self._is_open or not self._members:
            raise BadRequest(f"the {self.name} body is cut off")


class Deflate(Gzip):
    """zlib's form, or the bare one that some clients send under the same name."""

    name = "deflate"

    def _window(self, first: bytes) -> int:
        is_zlib = first[0] & 0x0F == 8 and (len(first) < 2 or (first[0] << 8 | first[1]) % 31 == 0)
        return _ZLIB_WINDOW if is_zlib else _RAW_WINDOW


class Zstd(_Members):
    """One zstd frame after the other."""

    def __init__(self) -> None:
        """Expect the first frame."""
        self._decoder = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES)
        self._frame: zstandard.ZstdDecompressionObj | None = None
        self._frames = 0
        self._step = _ZSTD_LEAST_INPUT_BYTES

    def _inflate(self, received: bytes) -> Iterator[bytes]:
        start = 0
        while start < len(received):
            rest = received[start : start + self._step]
            start += self._step
            while rest:
                if self._frame is None:
                    self._frame = self._decoder.decompressobj()
                    self._frames += 1
                try:
                    piece = self._frame.decompress(rest)
                except zstandard.ZstdError as error:
                    raise BadRequest(f"the body is no zstd: {error}") from None
                if piece:
                    is_much = len(piece) > PIECE_BYTES
                    self._step = _ZSTD_LEAST_INPUT_BYTES if is_much else _ZSTD_INPUT_BYTES
                    yield piece
                rest = b""
                if self._frame.eof:
                    rest, self._frame = self._frame.unused_data, None

    def finish(self) -> None:
        """Check that the last frame is whole. Raises: BadRequest."""
        if self._frame is not None or not self._frames:
            raise BadRequest("the zstd body is cut off")


_INFLATERS: dict[str, Callable[[], Inflater]] = {
    "identity": Identity,
    "gzip": Gzip,
    "x-gzip": Gzip,
    "deflate": Deflate,
    "zstd": Zstd,
}


def inflater(content_encodings: list[str]) -> Inflater:
    """Return what reads a body with these Content-Encoding headers. Raises: BadRequest."""
    if not content_encodings:
        return Identity()
    make = _INFLATERS.get(content_encodings[0].strip().lower())
    if len(content_encodings) > 1 or make is None:
        raise BadRequest(
            f"header Content-Encoding: {echo(', '.join(content_encodings))} is none of "
            f"{', '.join(_INFLATERS)}"
        )
    return make()
