"""Which file a load is of, and how it is read: the note that stands beside its position.

A file is known by the SHA-256 of what it holds, inflated: moved, renamed, linked, compressed or
not, it is the same file, and one with other bytes is another one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from contract.decoding import COLUMNS
from contract.import_positions import Position
from producer.errors import FileBroken, LoadUnknown
from producer.files.cells import Dialect
from producer.files.content import Content
from producer.files.rows import Format

Note = dict[str, Any]


class Source(NamedTuple):
    """A file to load, and how it is said to be read; `path` None: standard input."""

    path: Path | None
    format: Format | None
    dialect: Dialect

    @property
    def name(self) -> str:
        """How it is called in the quarantine and in messages."""
        return "-" if self.path is None else str(self.path)


def note_of(source: Source) -> Note:
    """Describe a file that has not been looked into yet."""
    dialect = source.dialect
    return {
        "file": None if source.path is None else str(source.path.resolve()),
        "content": None,
        "format": source.format,
        "delimiter": dialect.delimiter,
        "escape": dialect.escape,
        "columns": list(dialect.columns or COLUMNS),
        "ordered": dialect.columns is not None,
        "started_at": datetime.now(UTC).isoformat(),
        "line": 1,
        "done": False,
    }


def dialect_of(note: Note) -> Dialect:
    """Return how the file of a note is read."""
    columns = tuple(note["columns"]) if note["ordered"] else None
    return Dialect(note["delimiter"], note["escape"], columns)


def gone_on(position: Position, note: Note) -> Note:
    """Return the note of a load that continues: read as it began, of the file as it lies now."""
    kept = {field: note[field] for field in ("file", "content")}
    return {**note, **_note(position), **kept}


def content_hash(content: Content, on_piece: Callable[[], None]) -> str:
    """Hash what a file holds, as far as it can be read."""
    found = hashlib.sha256()
    try:
        for piece in content.pieces():
            found.update(piece)
            on_piece()
    except FileBroken as error:
        # With what is missing it would be another file.
        found.update(repr(error).encode())
    return found.hexdigest()


def find(
    positions: Mapping[bytes, Position], note: Note, name: str, taken: set[bytes]
) -> tuple[bytes, Position]:
    """Find the load to continue with: (key, position). Raises: LoadUnknown.

    Of several, as of copies of one file, it is the newest one of this path, else one that broke
    off. `taken` are those that other files of the same command continue with.
    """
    found = [
        (key, position)
        for key, position in positions.items()
        if key not in taken and is_same(position, note)
    ]
    if not found:
        raise LoadUnknown(
            f"no interrupted load of this file is known: {name}{_of_that_name(positions, note)};"
            " without --resume it is loaded from its first row"
        )
    here = [each for each in found if _note(each[1])["file"] == note["file"]]
    return max(here or found, key=lambda each: (bool(here) or not _is_done(each), _begun(each)))


def is_same(position: Position, note: Note) -> bool:
    """Whether a position is one of the file that a note describes."""
    former = position.note
    if not former or "content" not in former:
        return False
    if former["content"] is None:
        # Named by its command, but its turn never came.
        return bool(former["file"] == note["file"])
    return bool(former["content"] == note["content"])


def _of_that_name(positions: Mapping[bytes, Position], note: Note) -> str:
    for position in positions.values():
        former = _note(position)
        if former.get("file") == note["file"] and not former.get("done"):
            rows = position.readings + position.quarantined
            return f"; a load of that name stopped after row {rows}, and the file has changed since"
    return ""


def _note(position: Position) -> Note:
    return position.note or {}


def _is_done(each: tuple[bytes, Position]) -> bool:
    return bool(_note(each[1])["done"])


def _begun(each: tuple[bytes, Position]) -> tuple[str, bytes]:
    return _note(each[1])["started_at"], each[0]
