"""Bytes of a file, inflated if it is compressed, a bounded piece at a time.

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

PIECE_BYTES = 512 * 1024
_GZIP_WINDOW = 31
_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
#: zstd's own limit for a decoder without special wishes; bounds the memory of one.
_ZSTD_WINDOW_BYTES = 128 << 20
#: For files of strangers, of which several are read at once: what zstd asks for up to level 19.
_ZSTD_STRANGERS_WINDOW_BYTES = 8 << 20
#: Pieces are at least so large, but for the last: who reads them keeps a part of a line before.
_LEAST_PIECE_BYTES = 64 * 1024
#: The decoder copies what is behind a member, and a member may be 20 bytes: little goes in.
_GZIP_INPUT_BYTES = 16 * 1024
#: zstd's decoder takes no limit for what comes out: few bytes may become 128 KiB.
_ZSTD_INPUT_BYTES = 4096


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
    window = _ZSTD_WINDOW_BYTES if limit_bytes is None else _ZSTD_STRANGERS_WINDOW_BYTES
    pieces = _gunzip(received) if compression == "gzip" else _unzstd(received, window)
    size = 0
    for piece in _gathered(pieces):
        size += len(piece)
        if limit_bytes is not None and size > limit_bytes:
            raise FileTooLarge(f"the file inflates to more than {limit_bytes} bytes")
        yield piece


def _received(head: bytes, file: BinaryIO) -> Iterator[bytes]:
    yield head
    while piece := file.read(PIECE_BYTES):
        yield piece


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


def _slices(pieces: Iterator[bytes], size: int) -> Iterator[bytes]:
    for piece in pieces:
        for start in range(0, len(piece), size):
            yield piece[start : start + size]


def _gunzip(received: Iterator[bytes]) -> Iterator[bytes]:
    member = zlib.decompressobj(_GZIP_WINDOW)
    is_open = False
    for rest in _slices(received, _GZIP_INPUT_BYTES):
        while rest:
            if not is_open:
                # Some writers pad with zeros behind the last member.
                if not (rest := rest.lstrip(b"\x00")):
                    break
                member = zlib.decompressobj(_GZIP_WINDOW)
                is_open = True
            try:
                piece = member.decompress(rest, PIECE_BYTES)
            except zlib.error as error:
                raise FileBroken(f"the gzip file is corrupt: {error}") from error
            if piece:
                yield piece
            if member.eof:
                rest, is_open = member.unused_data, False
            else:
                rest = member.unconsumed_tail
    if is_open:
        raise FileBroken("the gzip file is cut off")


def _unzstd(received: Iterator[bytes], window_bytes: int) -> Iterator[bytes]:
    decoder = zstandard.ZstdDecompressor(max_window_size=window_bytes)
    frame: zstandard.ZstdDecompressionObj | None = None
    for rest in _slices(received, _ZSTD_INPUT_BYTES):
        while rest:
            frame = frame or decoder.decompressobj()
            try:
                piece = frame.decompress(rest)
            except zstandard.ZstdError as error:
                raise FileBroken(f"the zstd file is corrupt: {error}") from error
            if piece:
                yield piece
            rest = b""
            if frame.eof:
                rest, frame = frame.unused_data, None
    if frame is not None:
        raise FileBroken("the zstd file is cut off")
