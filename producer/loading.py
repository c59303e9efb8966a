"""`energy load`: a file into the readings topic, each row once, also if it is broken off.

Writes: readings, quarantine, `energy_imports` (through the importer). A load has an id of its
own and one source; its note keeps which file it is and how it is read, so that a resume goes on
with the same file in the same way or refuses. A file loaded again without resume is a new load:
its rows are readings once more.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any, BinaryIO, NamedTuple

from contract.imports import Position
from producer.ahead import ahead
from producer.errors import FileChanged, ProducerStopped
from producer.files.delimited import Dialect
from producer.files.reading import Place, judged, read_rows
from producer.files.rows import Format, Start
from producer.import_writer import Batch
from producer.importer import Importer
from producer.pacing import Limit
from producer.positions import PositionLog
from producer.settings import ProducerSettings

KIND = "load"
#: Of the beginning and the end of a file, to see whether it is still the same.
_FINGERPRINT_BYTES = 64 * 1024
#: Without a broker a command ends within 15 s.
_START_SECONDS = 8.0
_NOTHING = Batch((), ())

OnProgress = Callable[[int, int | None], None]


class Source(NamedTuple):
    """A file to load, and how to read it; `path` None: standard input."""

    path: Path | None
    format: Format
    dialect: Dialect

    @property
    def name(self) -> str:
        """How it is called in the quarantine and in messages."""
        return "-" if self.path is None else str(self.path)


class Loaded(NamedTuple):
    """How far a load has come; rows are counted since its beginning."""

    file: str
    import_id: str
    successful_rows: int
    quarantined_rows: int
    is_complete: bool


def newest_load(settings: ProducerSettings, path: Path) -> tuple[str, Position] | None:
    """Find the newest load of a file, complete or not; returns (import id, position)."""
    with PositionLog(settings, f"{KIND}/".encode()) as log:
        found = [
            (position.note["started_at"], key.split(b"/")[1].decode(), position)
            for key, position in log.read(_START_SECONDS).items()
            if position.note and position.note.get("file") == str(path.resolve())
        ]
    return max(found, key=lambda each: each[:2])[1:] if found else None


def load(
    settings: ProducerSettings,
    source: Source,
    file: BinaryIO,
    on_progress: OnProgress,
    should_stop: Event,
    *,
    resume: bool = False,
    max_rate: float | None = None,
) -> Iterator[Loaded]:
    """Load an open file; yields how far it has come after each transaction, and at the end.

    `on_progress(done, total)` is in kB of the file.
    Raises: FileChanged, FileRefused, FileBroken; what `Importer.write` raises.
    """
    note = _note(source)
    import_id = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
    former = newest_load(settings, source.path) if resume and source.path else None
    if former is not None:
        import_id, position = former
        note = _same_file(position, note, source.name)
        if note["done"]:
            yield _loaded(source, import_id, position)
            return
    with Importer(settings, KIND, import_id, should_stop=should_stop.is_set) as importer:
        position = importer.position()
        # Somebody may have gone on with it since it was looked up.
        note = _same_file(position, note, source.name)
        yield _loaded(source, import_id, position)
        start = Start(position.next_position, note["line"])
        total = None if source.path is None else note["size"] // 1000
        limit = Limit(max_rate, time.monotonic()) if max_rate else None
        for place in ahead(_places(file, source, note, start, import_id), should_stop=should_stop):
            note["line"] = place.next_line
            importer.write(place.batch, place.next_position, note=note)
            position = importer.position()
            yield _loaded(source, import_id, position)
            on_progress(_read_kilobytes(file, total), total)
            if limit is not None:
                rows = len(place.batch.values) + len(place.batch.quarantined)
                should_stop.wait(limit.pause_after(rows, time.monotonic()))
        if should_stop.is_set():
            raise ProducerStopped("stopped")
        note["done"] = True
        importer.write(_NOTHING, position.next_position, note=note)
        on_progress(total or 0, total)
        yield _loaded(source, import_id, importer.position())


def _places(
    file: BinaryIO, source: Source, note: dict[str, Any], start: Start, import_id: str
) -> Iterator[Place]:
    dialect = Dialect(note["delimiter"], note["escape"], tuple(note["columns"]))
    for rows in read_rows(file, source.name, note["format"], start, dialect):
        yield judged(rows, import_id, source.name)


def _loaded(source: Source, import_id: str, position: Position) -> Loaded:
    is_complete = bool(position.note and position.note["done"])
    return Loaded(source.name, import_id, position.readings, position.quarantined, is_complete)


def _note(source: Source) -> dict[str, Any]:
    """Describe which file it is, and how it is read."""
    note = {
        "file": None,
        "size": 0,
        "modified_ns": 0,
        "sha256": None,
        "format": source.format,
        "delimiter": source.dialect.delimiter,
        "escape": source.dialect.escape,
        "columns": list(source.dialect.columns),
        "started_at": datetime.now(UTC).isoformat(),
        "line": 1,
        "done": False,
    }
    if source.path is not None:
        status = source.path.stat()
        note |= {
            "file": str(source.path.resolve()),
            "size": status.st_size,
            "modified_ns": status.st_mtime_ns,
            "sha256": _fingerprint(source.path, status.st_size),
        }
    return note


def _fingerprint(path: Path, size: int) -> str:
    with path.open("rb") as file:
        found = hashlib.sha256(file.read(_FINGERPRINT_BYTES))
        file.seek(max(0, size - _FINGERPRINT_BYTES))
        found.update(file.read(_FINGERPRINT_BYTES))
    return found.hexdigest()


def _same_file(position: Position, note: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the note to go on with. Raises: FileChanged."""
    if position.note is None:
        return note
    for field in ("size", "modified_ns", "sha256"):
        if position.note[field] != note[field]:
            raise FileChanged(
                f"{name} has changed since its load broke off at row"
                f" {position.readings + position.quarantined}; without --resume it is loaded as a"
                " new file, and what was loaded already would count twice"
            )
    return dict(position.note)


def _read_kilobytes(file: BinaryIO, total: int | None) -> int:
    return 0 if total is None else min(total, file.tell() // 1000)


@contextmanager
def searchable(file: BinaryIO) -> Iterator[BinaryIO]:
    """Give what can be searched: the file itself, or a copy of a pipe."""
    if file.seekable():
        yield file
        return
    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(file, copy, 1 << 20)
        copy.seek(0, os.SEEK_SET)
        yield copy
