"""Follows `energy_imports` for the notes of Idempotency-Keys: what is decided, and what is not.

Reads: Kafka, without a group, by two consumers: one is given what is committed and stops where a
transaction is open, the other all there is. Writes: nothing. May be shared by threads.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from threading import Lock

from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from contract.errors import CorruptRecord
from contract.import_positions import IMPORTS_PARTITION
from contract.kafka import KafkaSettings
from contract.key_notes import PREFIX, KeyNote
from contract.prefix import prefixed
from contract.topics import IMPORTS
from kafka_io.polling import SOON_BACK, consumer_of, poll
from kafka_io.quiet import QUIET
from kafka_io.rights import find, named, read
from producer.client.last_problem import LastProblem
from producer.errors import TopicMissing
from producer.idempotency.key_order import KeyOrder

_START_SECONDS = 20.0
_CHECK_SECONDS = 3.0
#: One poll; others may poll in between.
_POLL_SECONDS = 0.02
_log = logging.getLogger(__name__)


def _group() -> str:
    return prefixed("energy-keys-reader")


class KeyLog:
    """The notes in the log; connects with the first `start`."""

    def __init__(
        self, settings: KafkaSettings, on_unreadable: Callable[[], None] = lambda: None
    ) -> None:
        """Store the arguments; `on_unreadable` is called for each note that nobody can read."""
        self._settings = settings
        self._on_unreadable = on_unreadable
        self._order = KeyOrder()
        self._login = settings.fingerprint()
        #: Of the connections; held while the log is read, for many seconds where Kafka is away.
        self._lock = Lock()
        #: Of `_order`, taken after `_lock`; never held while Kafka is asked: an event loop may
        #: look something up.
        self._order_lock = Lock()
        self._committed: Consumer | None = None
        self._all: Consumer | None = None
        self._seen_offset = 0
        self.last_problem = LastProblem()

    def start(self) -> None:
        """Read all that is decided by now, the first time. Raises: KafkaException, TopicMissing."""
        with self._lock:
            if self._all is not None:
                return
            try:
                with named(read(IMPORTS.name), find(_group())):
                    self._read_decided()
            except BaseException:
                self._let_go()
                raise

    def note(self, key: bytes) -> KeyNote | None:
        """Return the note of a key as far as it was read; a moment old, but for done ones final.

        Raises: CorruptRecord, where it cannot be read.
        """
        with self._order_lock:
            return self._order.note(key)

    def keys_of(self, token: bytes) -> tuple[int, int]:
        """Return how many keys of a token are kept, and how many of all."""
        with self._order_lock:
            return self._order.keys_of(token), len(self._order)

    def oldest(self, most: int, before: int) -> dict[bytes, KeyNote]:
        """Return some notes that began before a time."""
        with self._order_lock:
            return self._order.oldest(most, before)

    def check(self, offsets: Sequence[int], before: Mapping[bytes, KeyNote | None]) -> None:
        """Let a transaction continue whose notes are at these offsets.

        Raises: Undecided, Stale; KafkaException where the log cannot be read that far.
        """
        deadline = time.monotonic() + _CHECK_SECONDS
        last = max(offsets)
        while True:
            with self._lock:
                self._advance(_POLL_SECONDS if self._seen_offset <= last else 0)
                if self._seen_offset > last:
                    with self._order_lock:
                        self._order.check(offsets, before)
                    return
            if time.monotonic() > deadline:
                # A client of a broker that has restarted may ask with its old epoch forever.
                self.close()
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT))

    def wait_decided(self, offset: int, timeout_seconds: float) -> bool:
        """Wait until a note is decided; False: not within the time. Raises: KafkaException."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            with self._lock:
                self._advance(0, _POLL_SECONDS)
                if self._order.decided_offset > offset:
                    return True
            if time.monotonic() > deadline:
                return False

    def close(self) -> None:
        """Release the connections; may be called twice. What was read is kept."""
        with self._lock:
            self._let_go()

    def _let_go(self) -> None:
        for consumer in (self._committed, self._all):
            if consumer is not None:
                consumer.close()
        self._committed = self._all = None

    def _read_decided(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        self._login = self._settings.fingerprint()
        end = self._decided_end()
        self._committed = self._consumer("read_committed", self._order.decided_offset)
        while self._order.decided_offset < end:
            if time.monotonic() > deadline:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
            self._take_committed(_POLL_SECONDS)
        # Also after a connection was lost: what was seen before is seen again.
        self._seen_offset = self._order.decided_offset
        with self._order_lock:
            self._order.see_again()
        self._all = self._consumer("read_uncommitted", self._seen_offset)

    def _advance(self, seconds: float, decided_seconds: float = 0) -> None:
        """Take what has come, of all records and of the decided ones; waits so long for some."""
        try:
            if self._login != self._settings.fingerprint():
                self._let_go()
            with named(read(IMPORTS.name), find(_group())):
                if self._committed is None or self._all is None:
                    self._read_decided()
                self._take(seconds)
                self._take_committed(decided_seconds)
        except BaseException:
            # What was polled and not taken in is read once more by the next connection.
            self._let_go()
            raise

    def _take(self, seconds: float) -> None:
        assert self._all is not None
        for message in poll(self._all, seconds, for_good=True):
            if message.error() is None:
                offset = message.offset() or 0
                key = message.key()
                if isinstance(key, bytes) and key.startswith(PREFIX):
                    with self._order_lock:
                        self._order.see(offset, key)
                self._seen_offset = max(self._seen_offset, offset + 1)

    def _take_committed(self, seconds: float) -> None:
        assert self._committed is not None
        for message in poll(self._committed, seconds, for_good=True):
            key = message.key()
            if message.error() is None and isinstance(key, bytes) and key.startswith(PREFIX):
                self._apply(message.offset(), key, message.value())
        # Its own account: also past control records, which no consumer is given.
        (place,) = self._committed.position([TopicPartition(IMPORTS.name, IMPORTS_PARTITION)])
        with self._order_lock:
            self._order.decide(place.offset)

    def _apply(self, offset: int | None, key: bytes, value: bytes | None) -> None:
        try:
            with self._order_lock:
                self._order.apply(key, value)
        except CorruptRecord as error:
            self._on_unreadable()
            _log.error(
                "%s, offset %s: %s; bodies with this Idempotency-Key are refused until a record"
                " without a value is written under the key %s",
                *(IMPORTS.name, offset, error, ascii(key)),
            )

    def _decided_end(self) -> int:
        partition = TopicPartition(IMPORTS.name, IMPORTS_PARTITION)
        admin = AdminClient(
            self._settings.for_confluent() | SOON_BACK | QUIET | {"error_cb": self.last_problem}
        )
        if IMPORTS.name not in admin.list_topics(timeout=_CHECK_SECONDS).topics:
            raise TopicMissing(IMPORTS.name, self._settings.in_sight)
        asked = admin.list_offsets(
            {partition: OffsetSpec.latest()},
            isolation_level=IsolationLevel.READ_COMMITTED,
            request_timeout=_CHECK_SECONDS,
        )
        return int(asked[partition].result().offset)

    def _consumer(self, isolation: str, offset: int) -> Consumer:
        more = {
            "isolation.level": isolation,
            # Two clients that may be idle for days prefetch what others write there.
            "queued.max.messages.kbytes": 4096,
        }
        consumer = consumer_of(self._settings, _group(), more | SOON_BACK)
        consumer.assign([TopicPartition(IMPORTS.name, IMPORTS_PARTITION, offset)])
        return consumer
