"""`energy load`: files into the readings topic, each row once, also if it is interrupted.

Writes: readings, quarantine, `energy_imports` (through the importer). The files of one command
are the sources of one import, so they share its writer and its connections, and a file costs
one transaction more. All are named in `energy_imports` before the first row, so a resume knows
also those whose turn had not come. A file loaded again without resume is a new load: its rows
are readings once more.
"""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from threading import Event
from typing import BinaryIO, NamedTuple, Self

from contract.import_positions import Position
from contract.quarantine import ImportedRow
from producer.errors import ProducerStopped
from producer.files.content import Content
from producer.files.reading import format_in, read_places
from producer.files.rows import Start
from producer.imports.importer import Advance, Importer
from producer.imports.load_notes import (
    Note,
    Source,
    content_hash,
    dialect_of,
    find,
    gone_on,
    note_of,
)
from producer.imports.position_log import PositionLog
from producer.judging import Batch
from producer.pacing import Limit
from producer.prefetch import ahead, with_last
from producer.settings import ProducerSettings

KIND = "load"
#: Without a broker a command ends within 15 s.
_START_SECONDS = 8.0
_NOTHING = Batch((), ())

OnProgress = Callable[[int, int | None], None]


class Loaded(NamedTuple):
    """How far the load of a file has come; rows are counted since its beginning."""

    file: str
    import_id: str
    successful_rows: int
    quarantined_rows: int
    is_complete: bool


class _Turn(NamedTuple):
    source: Source
    importer: Importer
    key: str
    note: Note


class Loads:
    """The files of one command, one after the other."""

    def __init__(
        self,
        settings: ProducerSettings,
        sources: list[Source],
        should_stop: Event,
        *,
        resume: bool = False,
        max_rate: float | None = None,
    ) -> None:
        """Store the arguments; `resume` is not for standard input."""
        self._settings = settings
        self._sources = sources
        self.should_stop = should_stop
        self._resume = resume
        self._max_rate = max_rate
        self._log = PositionLog(settings, f"{KIND}/".encode())
        self._importers: dict[str, Importer] = {}
        self._import_id = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
        #: Keys of the positions that files of this command continue with.
        self._taken: set[bytes] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for importer in self._importers.values():
            importer.close()
        self._log.close()

    def load(self, number: int, on_progress: OnProgress) -> Iterator[Loaded]:
        """Load a file by its place; yields how far it is after each transaction, and at the end.

        `on_progress(done, total)` is in kB of the file.
        Raises: LoadUnknown, FileRefused, FileBroken, NoReading, OSError; what `Importer.write`
        raises.
        """
        source = self._sources[number]
        with _opened(source) as file, closing(self._content(file, source)) as content:
            note = note_of(source)
            if source.path is not None:
                note["content"] = content_hash(content, self._check_stopped)
            if self._resume:
                found, former = find(self._log.read(_START_SECONDS), note, source.name, self._taken)
                self._taken.add(found)
                _, import_id, key = found.decode().split("/", 2)
                if former.note and former.note["done"]:
                    yield _loaded(source, import_id, former)
                    return
                importer = self._importer(import_id)
                # Somebody may have continued with it since it was looked up.
                note = gone_on(importer.position(key), note)
            else:
                importer, key = self._begun(), str(number)
            note["format"] = format_in(content, note["format"])
            yield _loaded(source, importer.import_id, importer.position(key))
            yield from self._rest(_Turn(source, importer, key, note), content, file, on_progress)

    def _rest(
        self, turn: _Turn, content: Content, file: BinaryIO, on_progress: OnProgress
    ) -> Iterator[Loaded]:
        """Load what comes behind the position of a file."""
        source, importer, key, note = turn
        before = importer.position(key)
        places = read_places(
            content,
            note["format"],
            Start(before.next_position, note["line"]),
            dialect_of(note),
            ImportedRow(importer.import_id, source.name),
            has_readings=before.readings > 0,
        )
        total = None if source.path is None else source.path.stat().st_size // 1000
        limit = Limit(self._max_rate, time.monotonic()) if self._max_rate else None
        next_position = before.next_position
        for place, is_last in with_last(ahead(places, should_stop=self.should_stop)):
            note["line"], next_position = place.next_line, place.next_position
            # What was told to stop has no last place, it only ends.
            note["done"] = is_last and not self.should_stop.is_set()
            importer.write(place.batch, next_position, source=key, note=note)
            yield _loaded(source, importer.import_id, importer.position(key))
            on_progress(0 if total is None else min(total, file.tell() // 1000), total)
            if limit is not None and not is_last:
                self.should_stop.wait(limit.pause_after(place.batch.rows, time.monotonic()))
        self._check_stopped()
        if not note["done"]:
            note["done"] = True
            importer.write(_NOTHING, next_position, source=key, note=note)
            yield _loaded(source, importer.import_id, importer.position(key))
        on_progress(total or 0, total)

    def _content(self, file: BinaryIO, source: Source) -> Content:
        """Look into a file; a pipe may have nothing yet, and it can be stopped all the same."""
        one = (Content(file, source.name) for _ in range(1))
        for content in ahead(one, should_stop=self.should_stop):
            return content
        raise ProducerStopped("stopped")

    def _check_stopped(self) -> None:
        if self.should_stop.is_set():
            raise ProducerStopped("stopped")

    def _begun(self) -> Importer:
        """Return the importer of this command, which has named all its files."""
        if self._import_id not in self._importers:
            importer = self._importer(self._import_id)
            names = {
                str(number): Advance(0, 0, 0, note_of(source))
                for number, source in enumerate(self._sources)
                if source.path is not None
            }
            importer.write_all(_NOTHING, names)
        return self._importers[self._import_id]

    def _importer(self, import_id: str) -> Importer:
        if import_id not in self._importers:
            self._importers[import_id] = Importer(
                self._settings,
                KIND,
                import_id,
                positions=self._log,
                should_stop=self.should_stop.is_set,
            )
            self._importers[import_id].start()
        return self._importers[import_id]


def _loaded(source: Source, import_id: str, position: Position) -> Loaded:
    is_complete = bool(position.note and position.note["done"])
    return Loaded(source.name, import_id, position.readings, position.quarantined, is_complete)


@contextmanager
def _opened(source: Source) -> Iterator[BinaryIO]:
    if source.path is None:
        yield sys.stdin.buffer
    else:
        with source.path.open("rb") as file:
            yield file
