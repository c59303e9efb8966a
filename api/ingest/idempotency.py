"""`Idempotency-Key`: bodies that are written once, however often they are sent.

The answer is stored in `energy_imports`, in one transaction with its rows, so a body that is sent
again, to this process or another, before or after a restart, finds it there. Each process has its
own writers; the order of the log decides which of two requests with one key writes
 (producer/idempotency/key_order.py), so processes with different keys do not touch each other.

A body of more than one transaction continues where it stopped when it is sent again. Keys are
kept for a day, then forgotten; the same key of another token, or for a file, is another key.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from confluent_kafka import KafkaException

from api.http.allowance import Turns
from api.ingest.idempotency_key import Bounds, Content, Key, KeyedWriter, Written
from api.ingest.keyed_body import KEPT_SECONDS, KeyedBody
from contract.key_notes import KIND, KeyNote
from producer.idempotency.key_log import KeyLog
from producer.idempotency.key_order import Stale, Undecided
from producer.imports.transactions import ImportWriter
from producer.judging import Batch
from producer.settings import ProducerSettings

#: Bodies written at once; each has a connection to Kafka, made with the first that needs it.
WRITERS = 8
#: How long a body waits for one of them.
TURN_SECONDS = 5.0
#: Keys forgotten with one write, and how often some are looked for.
_FORGET_KEYS = 1_000
_FORGET_SECONDS = 60
_FULL_SECONDS = 10
_FORGOTTEN_SECONDS = 1.0
_NOTHING = Batch((), ())

T = TypeVar("T")


class KeyedWrites:
    """Writes bodies with keys; blocking work is done in threads of its own."""

    def __init__(
        self,
        settings: ProducerSettings,
        most_keys: int,
        *,
        should_stop: Callable[[], bool] = lambda: False,
        on_unreadable: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.time,
        keys: KeyLog | None = None,
        writer_of: Callable[[str], KeyedWriter] | None = None,
    ) -> None:
        """Store the arguments; nothing connects before the first key."""
        owner = uuid.uuid4().hex[:12]
        patience = settings.delivery_timeout_seconds
        self._bounds = Bounds(most_keys, patience, should_stop, clock, owner)
        self._threads = ThreadPoolExecutor(WRITERS + 1, "keyed-writes")
        self._keys = keys or KeyLog(settings, on_unreadable)
        self._turns = Turns(WRITERS, 0.5, "bodies with an Idempotency-Key")
        make = writer_of or (lambda name: KeyedWriter(ImportWriter(settings, KIND, name)))
        self._writers = [make(f"{owner}-{number}") for number in range(WRITERS)]
        self._free = [*self._writers]
        self._looked_at = 0.0

    async def write(self, key: Key, content: Content) -> Written:
        """Write the rows of a body, unless that was done under this key before.

        Raises: BadRequest, BrokenOff, KeyReused, Busy, NotWritten, PartlyWritten.
        """
        async with self._turns.turn(key.token_name, TURN_SECONDS):
            writer = self._free.pop()
            try:
                await self._forget(writer)
                body = KeyedBody(key, content, writer, self._keys, self._in_thread, self._bounds)
                return await body.write()
            finally:
                self._free.append(writer)

    async def close(self, deadline_seconds: float) -> None:
        """Release all connections; what is open is aborted, by us or by Kafka."""
        loop = asyncio.get_running_loop()
        closes = [*(writer.close for writer in self._writers), self._keys.close]
        closing = [loop.run_in_executor(self._threads, close) for close in closes]
        await asyncio.wait(closing, timeout=deadline_seconds)
        self._threads.shutdown(wait=False)

    async def _forget(self, writer: KeyedWriter) -> None:
        """Take some keys that are a day old out of the log, now and then."""
        now = self._bounds.clock()
        is_full = self._keys.keys_of(b"")[1] >= self._bounds.most_keys // 2
        if now - self._looked_at < (_FULL_SECONDS if is_full else _FORGET_SECONDS):
            return
        self._looked_at = now
        old = self._keys.oldest(_FORGET_KEYS, int(now) - KEPT_SECONDS + 1)
        if old:
            await self._in_thread(lambda: self._take_out(old, writer))

    def _take_out(self, old: Mapping[bytes, KeyNote], writer: KeyedWriter) -> None:
        written: list[int] = []

        def check(offsets: Sequence[int]) -> None:
            self._keys.check(offsets, old)
            written.extend(offsets)

        # A request that uses one of them again goes first; then they are looked for again.
        with suppress(Stale, Undecided, KafkaException):
            writer.write(_NOTHING, dict.fromkeys(old), check)
            self._keys.wait_decided(max(written), _FORGOTTEN_SECONDS)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """Do blocking work to its end, even where the server cancels us: its rows count."""
        doing = asyncio.get_running_loop().run_in_executor(self._threads, work)
        while not doing.done():
            try:
                await asyncio.wait([doing])
            except asyncio.CancelledError:
                # The next step checks whether the server stops; Kafka's timeouts end this one.
                continue
        return doing.result()
