"""Bodies that come with an Idempotency-Key: written once, however often they are sent.

The answer stands in `energy_imports`, in one transaction with the rows it is about; so a body
that is sent again, to this process or another, before or after a restart, finds it there. Keys
are spread over a few slots, each with one writer at a time over all API processes: whoever
writes in a slot has fenced all others and then read what they left. A view of a slot that is
out of date can therefore do no harm: its write fails, is looked up, and begins again.

A body of more than one transaction goes on where it stopped when it is sent again. Keys are
kept for a day, then forgotten; a key is the same whoever sends it.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import msgspec

from api.arrays import Text
from api.errors import BadRequest, Busy, KeyReused, NotWritten, PartlyWritten
from api.keyed_batches import batches_of
from contract.imports import Position
from producer.errors import (
    BrokerUnreachable,
    ImportSuperseded,
    PositionsUnread,
    ProducerStopped,
    RecordsRefused,
    TopicMissing,
)
from producer.import_writer import Batch
from producer.importer import Importer
from producer.positions import PositionLog
from producer.settings import ProducerSettings

KIND = "post"
#: Writers that can be at work at once. Never change it: a key would be looked for elsewhere.
SLOTS = 16
KEPT_SECONDS = 86_400
KEY_CHARACTERS = 255
#: Keys forgotten with one write, and how often a slot looks for some.
_FORGET_KEYS = 1_000
_FORGET_SECONDS = 600
_FULL_SECONDS = 10
#: How often another process may take a slot from us within one request.
_TURNS = 20
_AWAY = (BrokerUnreachable, PositionsUnread, ProducerStopped, TopicMissing)

T = TypeVar("T")


class Written(NamedTuple):
    """The answer to a body; `is_new` False: it was written for an earlier request."""

    successful_rows: int
    quarantined_rows: int
    is_new: bool


class _Note(msgspec.Struct, frozen=True):
    """What is kept of a key: a digest of its body, when it came, the answer as far as it is."""

    body: str
    at: int
    successful: int = 0
    quarantined: int = 0
    is_done: bool = False


class _Slot:
    def __init__(self, writer: Importer) -> None:
        self.writer = writer
        self.lock = asyncio.Lock()
        self.is_started = False
        self.keys = 0
        self.looked_at = 0.0


class KeyedWrites:
    """Writes bodies with keys; blocking work is done in threads of its own."""

    def __init__(
        self,
        settings: ProducerSettings,
        most_keys: int,
        *,
        should_stop: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.time,
        writer_of: Callable[[str], Importer] | None = None,
    ) -> None:
        """Only keep the arguments; a slot connects with its first key."""
        self._clock = clock
        self._most_keys = max(1, most_keys // SLOTS)
        self._threads = ThreadPoolExecutor(SLOTS, "keyed-writes")
        self._log = PositionLog(settings, f"{KIND}/".encode())
        self._slots: dict[int, _Slot] = {}

        def importer(slot: str) -> Importer:
            return Importer(
                settings,
                KIND,
                slot,
                positions=self._log,
                should_stop=should_stop,
                fenced_pause_seconds=0.05,
            )

        self._writer_of = writer_of or importer

    async def write(self, key: str, body: Text) -> Written:
        """Write the rows of a body, unless that was done under this key before.

        Raises: BadRequest, KeyReused, Busy, NotWritten, PartlyWritten.
        """
        digest = await self._in_thread(lambda: hashlib.sha256(body).hexdigest())
        number, source = place_of(key)
        if number not in self._slots:
            self._slots[number] = _Slot(self._writer_of(f"{number:02d}"))
        slot = self._slots[number]
        async with slot.lock:
            for _ in range(_TURNS):
                try:
                    await self._start(slot)
                    return await self._write_in(slot, source, digest, body)
                except ImportSuperseded:
                    slot.is_started = False
        raise PartlyWritten(
            "other servers write under keys like this one; send it again with the same key",
            successful_rows=0,
            quarantined_rows=0,
            unknown_rows=0,
        )

    async def close(self, deadline_seconds: float) -> None:
        """Let go of all connections; what is open is aborted, by us or by Kafka."""
        closing = [
            asyncio.ensure_future(self._in_thread(slot.writer.close))
            for slot in self._slots.values()
        ]
        closing.append(asyncio.ensure_future(self._in_thread(self._log.close)))
        await asyncio.wait(closing, timeout=deadline_seconds)
        self._threads.shutdown(wait=False)

    async def _start(self, slot: _Slot) -> None:
        if slot.is_started:
            return
        try:
            await self._in_thread(slot.writer.start)
        except (*_AWAY, RecordsRefused) as error:
            raise NotWritten(f"nothing was written: {error}") from error
        slot.is_started = True
        slot.keys = len(slot.writer.positions)

    async def _write_in(self, slot: _Slot, source: str, digest: str, body: Text) -> Written:
        """Raises: ImportSuperseded where the view of the slot is out of date."""
        position = slot.writer.position(source)
        now = int(self._clock())
        note = _note_of(position)
        start = position.next_position
        if note is None or now - note.at >= KEPT_SECONDS:
            note, start = _Note(digest, now), 0
        elif note.body != digest:
            raise KeyReused("header Idempotency-Key: was used with another body")
        elif note.is_done:
            return Written(note.successful, note.quarantined, is_new=False)
        forgotten = self._expired(slot, source)
        if position.note is None and slot.keys - len(forgotten) >= self._most_keys:
            raise Busy("API_IDEMPOTENCY_KEYS are kept for a day, and all are in use; try later")
        # A failure counts them again.
        slot.keys += (position.note is None) - len(forgotten)
        async for batch, is_last in batches_of(body, start, source):
            following = msgspec.structs.replace(
                note,
                successful=note.successful + len(batch.values),
                quarantined=note.quarantined + len(batch.quarantined),
                is_done=is_last,
            )
            start += len(batch.values) + len(batch.quarantined)
            await self._transact(slot, source, batch, start, (note, following), forgotten)
            note, forgotten = following, []
        return Written(note.successful, note.quarantined, is_new=True)

    async def _transact(
        self,
        slot: _Slot,
        source: str,
        batch: Batch,
        end: int,
        notes: tuple[_Note, _Note],
        forgotten: list[str],
    ) -> None:
        """Write a batch with its note. Raises: NotWritten, PartlyWritten, ImportSuperseded."""
        before, after = notes

        def write() -> None:
            slot.writer.write(
                batch, end, source=source, note=msgspec.to_builtins(after), forget=forgotten
            )

        unknown = 0
        try:
            await self._in_thread(write)
            return
        except RecordsRefused as error:
            reason = str(error)
        except _AWAY as error:
            reason = str(error)
            unknown = len(batch.values) + len(batch.quarantined)
        slot.is_started = False
        if not (unknown or before.successful or before.quarantined):
            raise NotWritten(f"nothing was written: {reason}")
        raise PartlyWritten(
            f"{reason}; send the body again with the same key: no row will count twice",
            successful_rows=before.successful,
            quarantined_rows=before.quarantined,
            unknown_rows=unknown,
        )

    def _expired(self, slot: _Slot, source: str) -> list[str]:
        """Look now and then for keys that are a day old; never the one that is written."""
        now = self._clock()
        is_full = slot.keys >= self._most_keys
        if now - slot.looked_at < (_FULL_SECONDS if is_full else _FORGET_SECONDS):
            return []
        slot.looked_at = now
        notes = ((each, _note_of(at)) for each, at in slot.writer.positions.items())
        old = (each for each, note in notes if note and now - note.at >= KEPT_SECONDS)
        return [each for each in old if each != source][:_FORGET_KEYS]

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def place_of(key: str) -> tuple[int, str]:
    """Return the slot of a key, and its name there."""
    source = hashlib.sha256(key.encode()).hexdigest()[:32]
    return int(source[:8], 16) % SLOTS, source


def key_of(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """Return the Idempotency-Key of a request, None without one. Raises: BadRequest."""
    keys = [value for name, value in headers if name == b"idempotency-key"]
    if not keys:
        return None
    key = keys[0].decode("latin-1").strip()
    if len(keys) > 1 or not key or len(key) > KEY_CHARACTERS or not key.isascii():
        raise BadRequest(
            f"header Idempotency-Key: once, with 1 to {KEY_CHARACTERS} ASCII characters"
        )
    return key


def _note_of(position: Position) -> _Note | None:
    return None if position.note is None else msgspec.convert(position.note, _Note)
