"""Bytes of a file, inflated if it is compressed, a bounded piece at a time.

gzip and zstd files may have several members or frames; all are read. Guarantees: what stands
before a fault is read before the fault is told.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import BinaryIO, Literal

import zstandard

from producer.errors import FileBroken

Compression = Literal["none", "gzip", "zstd"]

PIECE_BYTES = 512 * 1024
_GZIP_WINDOW = 31
_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
#: zstd's own limit for a decoder without special wishes; bounds the memory of one.
_ZSTD_WINDOW_BYTES = 128 << 20
#: zstd's decoder takes no limit for what comes out: few bytes may become 128 KiB.
_ZSTD_INPUT_BYTES = 4096


def compression_of(head: bytes) -> Compression:
    """Tell from the first bytes how a file is compressed."""
    if head.startswith(_GZIP_MAGIC):
        return "gzip"
    return "zstd" if head.startswith(_ZSTD_MAGIC) else "none"


def inflated(head: bytes, file: BinaryIO, compression: Compression) -> Iterator[bytes]:
    """Yield a file's bytes; `head` has been read of it already.

    Raises: FileBroken if it is cut off or corrupt, after all bytes before that.
    """
    if compression == "none":
        yield head
        while piece := file.read(PIECE_BYTES):
            yield piece
    elif compression == "gzip":
        yield from _gunzip(head, file)
    else:
        yield from _unzstd(head, file)


def _gunzip(received: bytes, file: BinaryIO) -> Iterator[bytes]:
    member = zlib.decompressobj(_GZIP_WINDOW)
    is_open = False
    while received or (received := file.read(PIECE_BYTES)):
        if not is_open:
            # Some writers pad with zeros behind the last member.
            if not (received := received.lstrip(b"\x00")):
                continue
            member = zlib.decompressobj(_GZIP_WINDOW)
            is_open = True
        try:
            piece = member.decompress(received, PIECE_BYTES)
        except zlib.error as error:
            raise FileBroken(f"the gzip file is corrupt: {error}") from error
        if piece:
            yield piece
        if member.eof:
            received, is_open = member.unused_data, False
        else:
            received = member.unconsumed_tail
    if is_open:
        raise FileBroken("the gzip file is cut off")


def _unzstd(received: bytes, file: BinaryIO) -> Iterator[bytes]:
    decoder = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES)
    frame: zstandard.ZstdDecompressionObj | None = None
    while received:
        for start in range(0, len(received), _ZSTD_INPUT_BYTES):
            rest = received[start : start + _ZSTD_INPUT_BYTES]
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
        received = file.read(PIECE_BYTES)
    if frame is not None:
        raise FileBroken("the zstd file is cut off")
