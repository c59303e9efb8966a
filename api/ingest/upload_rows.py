"""The rows of a received file: inspected, then judged a batch at a time."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Generator
from contextlib import closing

from api.errors import BadRequest, BodyTooLarge, echo_all
from api.http.multipart import RAW_NAME, Upload
from api.ingest.idempotency_key import Step
from api.ingest.sending import MOST_REFUSED
from contract.key_notes import DIGEST_BYTES, KeyNote
from contract.quarantine import ImportedRow
from producer.errors import FileBroken, FileRefused, FileTooLarge, NoReading
from producer.files.cells import Dialect
from producer.files.compression import PIECE_BYTES
from producer.files.content import Content
from producer.files.reading import Place, read_places
from producer.files.rows import Format, Start
from producer.judging import Batch, Sender

Places = Generator[Place, None, None]
BEGINNING = KeyNote(b"", 0)
NO_URL = "parameter url: the server fetches no files; send the file itself"


class UploadRows:
    """A received file, and how it is read; positions and lines are those of read_rows."""

    def __init__(
        self,
        upload: Upload,
        form: Format | None,
        dialect: Dialect,
        most: int,
        sender: Sender | None = None,
    ) -> None:
        self._upload = upload
        self._form = form
        self._dialect = dialect
        self._most_bytes = most
        self._sender = sender

    def digest(self) -> bytes:
        """Return by what it is known again: its bytes, and how they are read; blocks."""
        found = hashlib.sha256(repr((self._form, self._dialect)).encode())
        self._upload.file.seek(0)
        while piece := self._upload.file.read(PIECE_BYTES):
            found.update(piece)
        self._upload.file.seek(0)
        return found.digest()[:DIGEST_BYTES]

    async def steps(self, note: KeyNote, import_id: str) -> AsyncGenerator[Step, None]:
        """Yield its batches from where a note is, and finally an empty one."""
        start, has_readings = Start(note.next_position, note.line), self._has_readings(note)
        places = await asyncio.to_thread(self.places, import_id, note)
        while (place := await asyncio.to_thread(next, places, None)) is not None:
            if place.is_cut:
                # Too many are refused, which the next one raises: each time at this place.
                continue
            start = Start(place.next_position, place.next_line)
            has_readings = has_readings or place.has_reading
            yield Step(place.batch, *start, False)
        if note.quarantined and not has_readings:
            raise NoReading("none of its rows is a reading")
        yield Step(Batch((), ()), *start, True)

    def places(self, import_id: str, note: KeyNote) -> Places:
        """Look through a compressed file, then begin to read; in another thread.

        Raises: BadRequest, BodyTooLarge, Busy, SpoolUnusable.
        """
        places = self._places(import_id, note)
        try:
            first = next(places, None)
        except FileTooLarge as error:
            raise BodyTooLarge(f"{error}; nothing was written") from None
        except (FileRefused, FileBroken) as error:
            raise BadRequest(echo_all(str(error))) from None
        return _with_first(first, places)

    def _places(self, import_id: str, note: KeyNote) -> Places:
        self._upload.file.seek(0)
        upload, most = self._upload, self._most_bytes
        content = Content(upload.file, RAW_NAME, limit_bytes=most, copy=upload.copy)
        with closing(content):
            if content.head.startswith(b"url=") and b"\n" not in content.head:
                # The official clients send it as a form, which is no file.
                raise BadRequest(NO_URL)
            if content.compression != "none" and content.kind != "parquet":
                for _ in content.pieces():
                    pass
            yield from read_places(
                content,
                self._form,
                Start(note.next_position, note.line),
                self._dialect,
                ImportedRow(import_id, self._upload.name),
                has_readings=self._has_readings(note),
                most_refused=MOST_REFUSED - note.quarantined,
                sender=self._sender,
            )

    def _has_readings(self, note: KeyNote) -> bool:
        """Whether there are readings among the rows of a note.

        What was written of refused rows alone, before any reading, has readings of others in it:
        without them nothing would have been written yet.
        """
        return note.successful > 0 or (self._sender is not None and note.quarantined > 0)


def _with_first(first: Place | None, rest: Places) -> Places:
    if first is not None:
        yield first
        yield from rest
