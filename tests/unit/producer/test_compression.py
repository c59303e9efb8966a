"""Files of strangers that inflate: bounded in bytes, and no form of them costs more than its bytes.

B21 of the API's review, and B26's kind: many members in few bytes.
"""

from __future__ import annotations

import gzip
import io
import tracemalloc
import zlib
from typing import Any

import pytest
import zstandard

from producer.errors import FileBroken, FileTooLarge
from producer.files.compression import PIECE_BYTES, Compression, compression_of, inflated
from producer.files.content import Content
from producer.files.lines import split_lines
from producer.files.rows import Start


def zst(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


COMPRESSIONS = {"gzip": gzip.compress, "zstd": zst}


def pieces(data: bytes, limit_bytes: int | None = None) -> Any:
    head, rest = data[:PIECE_BYTES], io.BytesIO(data[PIECE_BYTES:])
    return inflated(head, rest, compression_of(head), limit_bytes)


@pytest.mark.parametrize("name", COMPRESSIONS)
def test_b21_what_inflates_beyond_the_limit_ends_there(name: Compression) -> None:
    data = COMPRESSIONS[name](b"a" * 3_000_000)
    assert sum(map(len, pieces(data, 3_000_000))) == 3_000_000
    found: list[bytes] = []
    with pytest.raises(FileTooLarge, match="2999999 bytes"):
        found.extend(pieces(data, 2_999_999))
    assert sum(map(len, found)) < 2_999_999
    # What is not compressed has its own limit where it is received.
    assert sum(map(len, pieces(b"a" * 100, 10))) == 100


def test_b21_a_window_of_128_mib_is_no_strangers() -> None:
    wide = zstandard.ZstdCompressionParameters(window_log=27)
    whole = zstandard.ZstdCompressor(compression_params=wide).compressobj()
    data = whole.compress(b"a" * 100) + whole.flush()
    assert b"".join(pieces(data)) == b"a" * 100
    with pytest.raises(FileBroken, match="zstd"):
        list(pieces(data, 1000))
    # Nor is it opened to look at the file's beginning.
    assert Content(io.BytesIO(data), "upload", limit_bytes=1000).head == b""


@pytest.mark.parametrize("name", COMPRESSIONS)
@pytest.mark.parametrize("blanks", [b"\n", b"\r\n"])
@pytest.mark.parametrize("keep_cr", [False, True])
def test_f1_blank_lines_from_few_bytes_are_neither_kept_nor_split(
    name: Compression, blanks: bytes, keep_cr: bool
) -> None:
    size = 24 << 20
    data = COMPRESSIONS[name](b"{}\n" + blanks * (size // len(blanks)))
    assert max(map(len, pieces(data))) <= PIECE_BYTES + 65_536
    blocks = lines = 0
    tracemalloc.start()
    for some in split_lines(pieces(data), Start(), keep_cr=keep_cr):
        blocks += 1
        lines += len(some.lines)
        last = some
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (last.next_position, last.next_line) == (size + 3, size // len(blanks) + 2)
    # Split are those of the first window, which has a row; zstd keeps a window itself.
    assert (lines <= 65_536, blocks < 450) == (True, True)
    assert peak < 24_000_000


def test_b21_b26_many_empty_members_cost_what_their_bytes_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Counted: what the decoder copies of the bytes behind each member."""
    copied = 0

    class Counting:
        def __init__(self, window: int) -> None:
            self._member = real(window)

        def decompress(self, data: bytes, size: int) -> bytes:
            nonlocal copied
            piece = self._member.decompress(data, size)
            copied += len(self._member.unused_data) + len(self._member.unconsumed_tail)
            return piece

        def __getattr__(self, name: str) -> Any:
            return getattr(self._member, name)

    real = zlib.decompressobj
    monkeypatch.setattr("producer.files.compression.zlib.decompressobj", Counting)
    for data in (gzip.compress(b"") * 25_000, gzip.compress(b"a" * 50_000_000)):
        copied = 0
        for _ in pieces(data):
            pass
        assert copied < 1000 * len(data)


def test_f1_slices_are_full_though_lines_are_split_a_window_at_a_time() -> None:
    data = b"x" * 60 + b"\n"
    found = [len(some.lines) for some in split_lines([data * 52_000], Start())]
    assert found == [5_000] * 10 + [2_000]
