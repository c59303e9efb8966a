"""Writes one body with an Idempotency-Key: from the start, from where it stopped, or not again.

The order of a batch, of which there may be many:

    1. its transaction begins with a note of how far the body is after it
    2. the log is read up to that note: does another request write this key (key_order.py)?
    3. the rows, and the commit; if its outcome is unknown, 1 and 2 are done again to find out
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any

from confluent_kafka import KafkaException

from api.errors import (
    ApiError,
    BadRequest,
    BrokenOff,
    Busy,
    KeyReused,
    NotWritten,
    PartlyWritten,
    echo_all,
)
from api.ingest.idempotency_key import Bounds, Content, Key, KeyedWriter, Step, Written
from api.ingest.publisher import Outcome
from contract.errors import CorruptRecord
from contract.key_notes import KeyNote, encode_note, record_key, token_of
from producer.client.outcome import NOT_APPENDED
from producer.errors import FileBroken, TopicMissing
from producer.idempotency.key_log import KeyLog
from producer.idempotency.key_order import Stale, Undecided
from producer.imports.failures import REFUSED, reason_of

log = logging.getLogger("api.ingest.keyed_body")

KEPT_SECONDS = 86_400
#: A token has half of the keys that there may be.
SHARE = 0.5
#: How often another request with the same key may come before ours.
_ATTEMPTS = 20
_PAUSE_SECONDS = 0.25
#: Kafka ends what a killed process left open after 5 s, for which it looks every 10 s.
DEAD_SECONDS = 16.0
_LOOK_SECONDS = 1.0


class KeyedBody:
    """A body, its key and its writer."""

    def __init__(
        self,
        key: Key,
        content: Content,
        writer: KeyedWriter,
        keys: KeyLog,
        in_thread: Callable[[Callable[[], Any]], Awaitable[Any]],
        bounds: Bounds,
    ) -> None:
        self._key = key
        self._content = content
        self._writer = writer
        self._keys = keys
        self._in_thread = in_thread
        self._bounds = bounds
        self._digest = self._name = b""
        #: What is decided under the name, and where this request continues.
        self._before: KeyNote | None = None
        self._note = KeyNote(b"", 0)
        self._offset = -1
        self._has_written = False
        #: Rows of a transaction that may have been committed; until its note is looked up.
        self._doubtful_rows = 0

    async def write(self) -> Written:
        """Write what is not written yet.

        Raises: BadRequest, BrokenOff, KeyReused, Busy, NotWritten, PartlyWritten.
        """
        try:
            self._digest = await self._in_thread(self._content.digest)
            return await self._insist()
        except (FileBroken, BadRequest) as error:
            raise self._ended_by(error) from None
        except asyncio.CancelledError:
            raise self._broken_off("the server is stopping") from None
        except ApiError:
            raise
        except Exception:
            if not (self._has_rows or self._doubtful_rows):
                raise
            log.exception("unexpected failure of a body with rows in the log")
            raise self._broken_off("an unexpected error occurred") from None

    async def _insist(self) -> Written:
        for _ in range(_ATTEMPTS):
            try:
                await self._in_thread(self._keys.start)
                self._find()
                return await self._go_on()
            except Stale:
                continue
            except Undecided as other:
                await self._until_decided(other.offset)
            except (KafkaException, TopicMissing) as error:
                raise self._broken_off(_text(error)) from error
        raise self._broken_off("other requests with this key came first")

    def _find(self) -> None:
        """Look up how far the body is; what we wrote is decided by now. Raises: KeyReused, Busy."""
        name = self._name = record_key(*self._key)
        note = self._before = self._kept(name)
        if note is None or self._bounds.clock() - note.at >= KEPT_SECONDS:
            mine, everybodys = self._keys.keys_of(token_of(name))
            most = self._bounds.most_keys
            if note is None and (mine >= max(1, int(most * SHARE)) or everybodys >= most):
                raise Busy(
                    "this token has used all the Idempotency-Keys that it may use in a day"
                    " (API_IDEMPOTENCY_KEYS); try later"
                )
            note = KeyNote(self._digest, int(self._bounds.clock()))
        elif note.body != self._digest:
            raise KeyReused("header Idempotency-Key: was used with another body")
        self._note = note
        self._doubtful_rows = 0

    def _kept(self, name: bytes) -> KeyNote | None:
        try:
            return self._keys.note(name)
        except CorruptRecord as error:
            raise KeyReused(
                "header Idempotency-Key: the record of this key cannot be read, so its rows may or"
                " may not have been written; the server's log says how to free the key"
            ) from error

    async def _go_on(self) -> Written:
        """Write from the note on. Raises: Undecided, Stale."""
        note = self._note
        # The same for each request of a day with this key.
        named = hashlib.sha256(b"%s %d" % (self._name, note.at)).digest()
        import_id = str(uuid.UUID(bytes=named[:16]))
        if not note.is_done:
            async with aclosing(self._content.steps(note, import_id)) as steps:
                async for step in steps:
                    await self._commit(step)
        outcome = Outcome(self._note.successful, self._note.quarantined, 0, None)
        return Written(outcome, self._has_written, import_id)

    async def _commit(self, step: Step) -> None:
        """Write a batch with its note. Raises: Undecided, Stale, NotWritten, PartlyWritten."""
        if self._has_written:
            if self._bounds.should_stop():
                raise self._broken_off("the server is stopping")
            await self._until_decided(self._offset)
        note = self._note
        after = note._replace(
            next_position=step.next_position,
            line=step.next_line,
            successful=note.successful + len(step.batch.values),
            quarantined=note.quarantined + len(step.batch.quarantined),
            is_done=step.is_last,
        )
        changed = {self._name: encode_note(after, self._bounds.owner)}
        rows = step.batch.rows

        def check(offsets: Sequence[int]) -> None:
            self._keys.check(offsets, {self._name: self._before})
            # That it passed also says that the transaction before was aborted.
            self._offset, self._doubtful_rows = max(offsets), rows

        deadline = time.monotonic() + self._bounds.patience_seconds
        while True:
            before_offset = self._offset
            try:
                await self._in_thread(lambda: self._writer.write(step.batch, changed, check))
                break
            except KafkaException as error:
                code = reason_of(error).code()
                if code in NOT_APPENDED and self._offset != before_offset:
                    self._doubtful_rows = 0
                if code in REFUSED or self._bounds.should_stop() or time.monotonic() > deadline:
                    raise self._broken_off(_text(error)) from error
                await asyncio.sleep(_PAUSE_SECONDS)
        self._doubtful_rows, self._has_written = 0, True
        self._before = self._note = after

    async def _until_decided(self, offset: int) -> None:
        """Raises: NotWritten, PartlyWritten, where that takes too long."""
        patience = max(self._bounds.patience_seconds, DEAD_SECONDS)
        for _ in range(math.ceil(patience / _LOOK_SECONDS)):
            try:
                if await self._in_thread(lambda: self._keys.wait_decided(offset, _LOOK_SECONDS)):
                    return
            except KafkaException as error:
                raise self._broken_off(_text(error)) from error
            if self._bounds.should_stop():
                raise self._broken_off("the server is stopping")
        raise self._broken_off("another request with this key is still running")

    @property
    def _has_rows(self) -> bool:
        return bool(self._note.successful or self._note.quarantined)

    def _broken_off(self, reason: str) -> ApiError:
        if not (self._doubtful_rows or self._has_rows):
            return NotWritten(f"{reason}; nothing was written, try again")
        return PartlyWritten(
            f"{reason}; send the body again with the same key: no row will count twice",
            successful_rows=self._note.successful,
            quarantined_rows=self._note.quarantined,
            unknown_rows=self._doubtful_rows,
        )

    def _ended_by(self, error: FileBroken | BadRequest) -> ApiError:
        text, note = echo_all(str(error)), self._note
        if not self._has_rows:
            return BadRequest(text)
        return BrokenOff(
            f"{text}; the {note.successful + note.quarantined} rows before it were written",
            successful_rows=note.successful,
            quarantined_rows=note.quarantined,
            unknown_rows=0,
        )


def _text(error: KafkaException | TopicMissing) -> str:
    if isinstance(error, TopicMissing):
        return str(error)
    reason = reason_of(error)
    said = "refuses to take the rows" if reason.code() in REFUSED else "does not answer"
    return f"Kafka {said}: {reason.str()}"
