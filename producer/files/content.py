"""What a file holds, seen from its first bytes, and its bytes from the first one on.

Reads a file that may be a pipe: what must be read twice, or searched, is copied first. Writes:
such a copy, in a file without a name. Guarantees: bounded memory; nothing is believed of a name
that the first bytes do not say too.
"""

from __future__ import annotations

import io
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from itertools import chain
from pathlib import PurePath
from typing import IO, BinaryIO, Literal, cast

from contract.validation import BYTE_ORDER_MARK
from producer.errors import FileBroken, FileRefused, FileTooLarge
from producer.files.compression import PIECE_BYTES, Compression, compression_of, inflated
from producer.files.rows import Format

#: So much of what is inside is looked at.
HEAD_BYTES = 128 * 1024
#: "text" may be CSV, or lines of which the first is no JSON.
Kind = Literal["empty", "parquet", "json", "text"]

_PARQUET_MAGIC = b"PAR1"
#: A brace or bracket alone may begin a cell; with what follows it, it begins JSON.
_json_begins = re.compile(rb'[ \t\r\n]*+(?:\{[ \t\r\n]*+["}]|\[[ \t\r\n]*+["{\[\]\-0-9tfn])').match
_SUFFIXES: dict[str, Format] = {
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".json": "ndjson",
    ".csv": "csv",
    ".parquet": "parquet",
}
_COMPRESSED: dict[str, Compression] = {".gz": "gzip", ".zst": "zstd"}
#: What people send in place of readings, by how it begins.
_SIGNATURES = (
    (b"PK\x03\x04", "a ZIP archive or an Excel workbook"),
    (b"\xff\xfe", "text in UTF-16"),
    (b"\xfe\xff", "text in UTF-16"),
    (b"BZh", "a bzip2 file"),
    (b"\xfd7zXZ\x00", "an xz file"),
    (b"SQLite format 3", "an SQLite database"),
    (b"PARE", "encrypted Parquet"),
    (b"ORC", "an ORC file"),
    (b"Obj\x01", "an Avro file"),
    (b"%PDF", "a PDF document"),
    (b"<", "XML or HTML"),
)
_DELIMITERS = ",;\t|"
#: Makes a file of bytes, which stands at its first one; closes it where it fails.
Copy = Callable[[Iterator[bytes]], BinaryIO]


def format_of(name: str) -> Format | None:
    """Tell the format from a file's name, None if that says nothing."""
    path = PurePath(name)
    if path.suffix in _COMPRESSED:
        path = path.with_suffix("")
    return _SUFFIXES.get(path.suffix)


def kind_of(head: bytes) -> Kind:
    """Tell from the first bytes inside what a file is."""
    head = head.removeprefix(BYTE_ORDER_MARK)
    if head.startswith(_PARQUET_MAGIC):
        return "parquet"
    if _json_begins(head):
        return "json"
    return "text" if head.strip() else "empty"


def looks_like(head: bytes) -> str:
    """Tell a person what the first bytes look like."""
    if (kind := kind_of(head)) in ("parquet", "empty"):
        return {"parquet": "Parquet", "empty": "nothing"}[kind]
    head = head.removeprefix(BYTE_ORDER_MARK)
    if kind == "json":
        return "a JSON array" if head.lstrip().startswith(b"[") else "JSON objects"
    for signature, words in _SIGNATURES:
        if head.startswith(signature):
            return words
    if b"\x00" in head:
        return "binary data"
    line = head.lstrip().partition(b"\n")[0][:HEAD_BYTES].decode(errors="replace")
    found = max(_DELIMITERS, key=line.count)
    names = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
    return f"CSV with {names[found]}" if found in line else "text"


def copied(pieces: Iterator[bytes]) -> BinaryIO:
    """Copy to a file in $TMPDIR. Raises: OSError; what `pieces` raise."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    write_out(file, pieces)
    return cast(BinaryIO, file)


def write_out(file: IO[bytes], pieces: Iterator[bytes]) -> None:
    """Write all of it, and go to its beginning; closes the file where that fails."""
    try:
        file.writelines(pieces)
        file.seek(0)
    except BaseException:
        file.close()
        raise


class Content:
    """The inside of a file; close it."""

    def __init__(
        self,
        file: BinaryIO,
        name: str,
        *,
        limit_bytes: int | None = None,
        copy: Copy = copied,
    ) -> None:
        """Look at the beginning of a file, which stands at its first byte.

        `limit_bytes` is what may come out of a compressed one; `copy` makes copies.
        Raises: FileRefused if it is compressed in a way that its name does not say.
        """
        self._file = file
        self._received = file.read(PIECE_BYTES)
        #: Given for a stranger's file.
        self.limit_bytes = limit_bytes
        self._make_copy = copy
        self._copies: list[BinaryIO] = []
        self.compression = compression_of(self._received)
        _check_name(name, self._received, self.compression)
        #: The first bytes inside, at most HEAD_BYTES and a piece.
        self.head = self._look()
        self.kind = kind_of(self.head)
        #: What precedes the first row.
        self.mark_bytes = len(BYTE_ORDER_MARK) * self.head.startswith(BYTE_ORDER_MARK)

    def pieces(self) -> Iterator[bytes]:
        """Yield what is inside; again only after `keep`. Raises: FileBroken, FileTooLarge."""
        if self._file.seekable():
            self._file.seek(0)
            self._received = self._file.read(PIECE_BYTES)
        return self._inflated(self._file)

    def keep(self) -> None:
        """Make sure that `pieces` can be asked for again: copy a pipe."""
        if not self._file.seekable():
            rest = iter(partial(self._file.read, PIECE_BYTES), b"")
            self._file = self._copy(chain((self._received,), rest))

    def searchable(self) -> BinaryIO:
        """Return what is inside to be searched, of a stranger with a descriptor.

        Raises: as `pieces`, and as what makes copies.
        """
        is_enough = self.limit_bytes is None or _has_descriptor(self._file)
        if self.compression == "none" and self._file.seekable() and is_enough:
            self._file.seek(0)
            return self._file
        return self._copy(self.pieces())

    def close(self) -> None:
        """Release the copies."""
        for copy in self._copies:
            copy.close()

    def _copy(self, pieces: Iterator[bytes]) -> BinaryIO:
        copy = self._make_copy(pieces)
        self._copies.append(copy)
        return copy

    def _inflated(self, rest: BinaryIO) -> Iterator[bytes]:
        return inflated(self._received, rest, self.compression, self.limit_bytes)

    def _look(self) -> bytes:
        head = b""
        # That nothing follows is told when it is read, behind all that stands before.
        with suppress(FileBroken, FileTooLarge):
            for piece in self._inflated(io.BytesIO()):
                head += piece
                if len(head) >= HEAD_BYTES:
                    break
        return head


def _has_descriptor(file: BinaryIO) -> bool:
    try:
        return file.fileno() >= 0
    except OSError:
        return False


def _check_name(name: str, received: bytes, found: Compression) -> None:
    suffix = PurePath(name).suffix
    if received and found != _COMPRESSED.get(suffix, "none" if suffix in _SUFFIXES else found):
        said = "is not compressed" if found == "none" else f"is compressed with {found}"
        raise FileRefused(f"the file {said}, which its name does not say")
