"""Bytes of a file or body, inflated if it is compressed, a bounded piece at a time.

gzip and zstd files may have several members or frames; all are read. Guarantees: what stands
before a fault is read before the fault is told; time grows with the bytes in and out, also for
a file of nothing but empty members.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import BinaryIO, Literal

import zstandard

from producer.errors import FileBroken, FileTooLarge

Compression = Literal["none", "gzip", "zstd"]

#: At most this much comes out at once.
PIECE_BYTES = 256 * 1024
#: So much goes in at most until something, or nothing, is handed out: some 3 ms.
INPUT_BYTES = 16 * 1024
_GZIP_WINDOW = 31
_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
#: zstd's own limit for a decoder without special wishes; bounds the memory of one.
_ZSTD_WINDOW_BYTES = 128 << 20
#: For files of strangers, of which several are read at once: what zstd asks for up to level 19.
ZSTD_STRANGERS_WINDOW_BYTES = 8 << 20
#: zstd's decoder takes no limit for what comes out: four bytes may become 128 KiB. So little goes
#: in at once (8 MiB at most come out), and less where much came out (1 MiB).
_ZSTD_INPUT_BYTES = 256
_ZSTD_LEAST_INPUT_BYTES = 32
#: Pieces are at least so large, but for the last: who reads them keeps a part of a line before.
_LEAST_PIECE_BYTES = 64 * 1024


def compression_of(head: bytes) -> Compression:
    """Tell from the first bytes how a file is compressed."""
    if head.startswith(_GZIP_MAGIC):
        return "gzip"
    return "zstd" if head.startswith(_ZSTD_MAGIC) else "none"


def inflated(
    head: bytes, file: BinaryIO, compression: Compression, limit_bytes: int | None = None
) -> Iterator[bytes]:
    """Yield a file's bytes; `head` has been read of it already.

    `limit_bytes` is for files of strangers: so much may come out of a compressed one.
    Raises: FileBroken if it is cut off or corrupt, FileTooLarge; after all bytes before that.
    """
    received = _received(head, file)
    if compression == "none":
        yield from received
        return
    window = _ZSTD_WINDOW_BYTES if limit_bytes is None else ZSTD_STRANGERS_WINDOW_BYTES
    members = Gzip() if compression == "gzip" else Zstd(window)
    size = 0
    for piece in _gathered(_members(members, received)):
        size += len(piece)
        if limit_bytes is not None and size > limit_bytes:
            raise FileTooLarge(f"the file inflates to more than {limit_bytes} bytes")
        yield piece


def _received(head: bytes, file: BinaryIO) -> Iterator[bytes]:
    yield head
    while piece := file.read(PIECE_BYTES):
        yield piece


def _members(members: Members, received: Iterator[bytes]) -> Iterator[bytes]:
    try:
        for piece in received:
            yield from members.feed(piece)
        members.finish()
    except FileBroken as error:
        raise FileBroken(f"the file's {error}") from error


def _gathered(pieces: Iterator[bytes]) -> Iterator[bytes]:
    some: list[bytes] = []
    size = 0
    try:
        for piece in pieces:
            some.append(piece)
            size += len(piece)
            if size >= _LEAST_PIECE_BYTES:
                yield b"".join(some)
                some, size = [], 0
    except FileBroken:
        if some:
            yield b"".join(some)
        raise
    if some:
        yield b"".join(some)


class Members:
    """Inflates gzip members or zstd frames, one behind the other, as they come.

    A decoder copies what is behind a member, and a member may be 20 bytes: little goes in.
    """

    def feed(self, received: bytes) -> Iterator[bytes]:
        """Yield what comes out: at most PIECE_BYTES at once, often nothing. Raises: FileBroken."""
        for start in range(0, len(received), INPUT_BYTES):
            some: list[bytes] = []
            size = 0
            for piece in self._inflate(received[start : start + INPUT_BYTES]):
                for place in range(0, len(piece), PIECE_BYTES):
                    part = piece[place : place + PIECE_BYTES]
                    if size + len(part) > PIECE_BYTES:
                        yield b"".join(some)
                        some, size = [], 0
                    some.append(part)
                    size += len(part)
            yield b"".join(some)

    def finish(self) -> None:
        """Check that nothing is missing. Raises: FileBroken."""
        raise NotImplementedError

    def _inflate(self, received: bytes) -> Iterator[bytes]:
        raise NotImplementedError


class Gzip(Members):
    """One gzip member after the other."""

    name = "gzip"

    def __init__(self) -> None:
        self._member = zlib.decompressobj(_GZIP_WINDOW)
        self._is_open = False
        self._members = 0

    def _window(self, first: bytes) -> int:
        return _GZIP_WINDOW

    def _inflate(self, received: bytes) -> Iterator[bytes]:
        while received:
            if not self._is_open:
                # Some writers pad with zeros behind the last member.
                if self._members and not (received := received.lstrip(b"\x00")):
                    break
                self._member = zlib.decompressobj(self._window(received))
                self._is_open = True
                self._members += 1
            try:
                piece = self._member.decompress(received, PIECE_BYTES)
            except zlib.error as error:
                raise FileBroken(f"{self.name} is corrupt: {error}") from error
            if piece:
                yield piece
            if self._member.eof:
                received, self._is_open = self._member.unused_data, False
            else:
                received = self._member.unconsumed_tail

    def finish(self) -> None:
        """Check that the last member is whole. Raises: FileBroken."""
        if self._is_open or not self._members:
            raise FileBroken(f"{self.name} is cut off")


class Deflate(Gzip):
    """HTTP's: zlib's form, or the bare one that some clients send under the same name."""

    name = "deflate"

    def _window(self, first: bytes) -> int:
        is_zlib = first[0] & 0x0F == 8 and (len(first) < 2 or (first[0] << 8 | first[1]) % 31 == 0)
        return zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS


class Zstd(Members):
    """One zstd frame after the other."""

    def __init__(self, window_bytes: int = ZSTD_STRANGERS_WINDOW_BYTES) -> None:
        self._decoder = zstandard.ZstdDecompressor(max_window_size=window_bytes)
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
                    raise FileBroken(f"zstd is corrupt: {error}") from error
                if piece:
                    is_much = len(piece) > PIECE_BYTES
                    self._step = _ZSTD_LEAST_INPUT_BYTES if is_much else _ZSTD_INPUT_BYTES
                    yield piece
                rest = b""
                if self._frame.eof:
                    rest, self._frame = self._frame.unused_data, None

    def finish(self) -> None:
        """Check that the last frame is whole. Raises: FileBroken."""
        if self._frame is not None or not self._frames:
            raise FileBroken("zstd is cut off")
