"""The producer of readings: idempotent, acknowledged by all replicas, bounded.

Writes: whatever topics its deliveries name, in practice the readings and the quarantine.
Guarantees: nothing is called acknowledged that Kafka did not acknowledge; nothing is called
refused that can be in a log (delivery.py); once `stop` has returned, nothing is sent.
A thread of its own polls librdkafka; callbacks of deliveries come from it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from threading import Condition, Thread, current_thread

import msgspec
from confluent_kafka import KafkaError, KafkaException, Producer

from producer.delivery import Delivery
from producer.errors import BrokerUnreachable, ProducerStopped, QueueFull, TopicMissing
from producer.problems import LastProblem
from producer.settings import ProducerSettings

_log = logging.getLogger(__name__)

_POLL_SECONDS = 0.1
_STATISTICS_MS = 250
#: The first statistics after a report may have been made before it, the second cannot.
_STATISTICS_TO_DECIDE = 2
_DECIDE_SECONDS = 4 * _STATISTICS_MS / 1000
_STOP_SECONDS = 8.0


class _Broker(msgspec.Struct):
    state: str


class _Statistics(msgspec.Struct):
    """What we read of librdkafka's statistics."""

    txmsgs: int
    brokers: dict[str, _Broker]


class ReadingProducer:
    """One connection to Kafka for many deliveries, from any thread."""

    def __init__(
        self,
        settings: ProducerSettings,
        *,
        client_factory: Callable[[dict[str, object]], Producer] = Producer,
    ) -> None:
        """Begin to connect, in the background."""
        self.settings = settings
        self.is_connected = False
        self._transmitted = 0
        self._statistics_seen = 0
        self._undecided: list[tuple[int, Delivery]] = []
        self._room = Condition()
        self._records = self._bytes = 0
        self._is_stopping = False
        self._is_polling = True
        self._last_problem = LastProblem()
        self.client = client_factory(
            settings.for_producer()
            | {
                "statistics.interval.ms": _STATISTICS_MS,
                "stats_cb": self._on_statistics,
                "error_cb": self._on_error,
                "logger": _log,
                "log.connection.close": False,
            }
        )
        self._poller = Thread(target=self._poll, name="reading-producer", daemon=True)
        self._poller.start()

    def check(self, *topics: str, timeout_seconds: float = 10.0) -> None:
        """Ask the broker for the topics.

        Raises: BrokerUnreachable, TopicMissing.
        """
        try:
            found = self.client.list_topics(timeout=timeout_seconds).topics
        except KafkaException as error:
            reason = self._last_problem.text or error.args[0].str()
            raise BrokerUnreachable(
                f"no broker answers at {self.settings.bootstrap_servers} ({reason}); start it,"
                " or set KAFKA_BOOTSTRAP_SERVERS"
            ) from error
        for topic in topics:
            if topic not in found:
                raise TopicMissing(topic, self.settings.in_sight)

    def open(self, *, keep_failed: bool = False) -> Delivery:
        """Begin a delivery. Raises: ProducerStopped."""
        if self._is_stopping:
            raise ProducerStopped
        return Delivery(self, keep_failed=keep_failed, transmitted=self._transmitted)

    @property
    def records_under_way(self) -> int:
        """Return how many records are neither acknowledged nor given up."""
        return self._records

    def has_room(self, records: int, size: int) -> bool:
        """Tell whether so much may be sent now; what is larger than the queue goes alone."""
        return not self._records or (
            self._records + records <= self.settings.queue_records
            and self._bytes + size <= self.settings.queue_bytes
        )

    def reserve(self, records: int, size: int, *, block: bool = True) -> None:
        """Take room in the queue. Raises: QueueFull unless blocking, ProducerStopped."""
        with self._room:
            while not self._is_stopping and not self.has_room(records, size):
                if not block:
                    raise QueueFull
                self._room.wait()
            if self._is_stopping:
                raise ProducerStopped
            self._records += records
            self._bytes += size

    def release(self, records: int, size: int) -> None:
        """Give room back."""
        with self._room:
            self._records -= records
            self._bytes -= size
            self._room.notify_all()

    def wait_for_room(self, timeout_seconds: float) -> None:
        """Block until something has ended, at most so long."""
        with self._room:
            self._room.wait(timeout_seconds)

    def decide_later(self, delivery: Delivery) -> None:
        """Settle what can have been sent, as soon as librdkafka's counts tell."""
        self._undecided.append((self._statistics_seen + _STATISTICS_TO_DECIDE, delivery))

    def stop(self, deadline_seconds: float = _STOP_SECONDS) -> None:
        """Wait for what is under way, at most so long; then recall the rest and let go.

        May be called twice.
        """
        with self._room:
            self._is_stopping = True
            self._room.notify_all()
            self._room.wait_for(lambda: not self._records, deadline_seconds)
        deadline = time.monotonic() + _DECIDE_SECONDS
        while self._records and time.monotonic() < deadline:
            # Again and again: a sender may have been in the middle of handing over.
            self.client.purge()
            with self._room:
                self._room.wait_for(lambda: not self._records, _POLL_SECONDS)
        while self._undecided and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS / 10)
        self._is_polling = False
        if current_thread() is not self._poller:
            self._poller.join()
        for _, delivery in self._undecided:
            delivery.decide(is_sent=True)
        self._undecided.clear()

    def _poll(self) -> None:
        while self._is_polling:
            try:
                self.client.poll(_POLL_SECONDS)
            except Exception:
                # A callback of a delivery failed: its owner hears nothing more, others do.
                _log.exception("the callback of a delivery failed")

    def _on_error(self, error: KafkaError) -> None:
        # What concerns records comes with their reports; this is for whoever reads the log.
        self._last_problem(error)
        _log.warning("Kafka: %s", error.str())

    def _on_statistics(self, text: str) -> None:
        statistics = msgspec.json.decode(text, type=_Statistics)
        self.is_connected = any(broker.state == "UP" for broker in statistics.brokers.values())
        self._transmitted = statistics.txmsgs
        self._statistics_seen += 1
        due = [each for each in self._undecided if each[0] <= self._statistics_seen]
        for each in due:
            self._undecided.remove(each)
            each[1].decide(is_sent=each[1].transmitted_before != statistics.txmsgs)
