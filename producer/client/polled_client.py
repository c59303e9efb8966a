"""One client of librdkafka, and the thread that polls it until its last record has ended.

A client gives all of its records up at once, or none. librdkafka's own time-out, of one record,
makes it begin new sequence numbers, and what it had sent of the others is sent again under them:
Kafka then has those twice (librdkafka issue 4953). So records have no time-out in the client.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import repeat
from threading import Lock, Thread, current_thread

import msgspec
from confluent_kafka import KafkaError, Message, Producer

from producer.client.last_problem import LastProblem
from producer.client.report_batch import Parcel

_log = logging.getLogger(__name__)

POLL_SECONDS = 0.1
_STATISTICS_MS = 250
#: The first statistics after a report may have been made before it, the second cannot.
_STATISTICS_TO_DECIDE = 2
#: How long it takes at most until statistics have told.
DECIDE_SECONDS = 4 * _STATISTICS_MS / 1000
#: What is recalled is reported at once, unless librdkafka's threads hang.
_REPORT_SECONDS = 5.0
#: librdkafka's own threads may take their time to end; they send nothing.
_CLOSE_SECONDS = 2.0


class _Broker(msgspec.Struct):
    state: str


class _Statistics(msgspec.Struct):
    """What we read of librdkafka's statistics."""

    txmsgs: int
    brokers: dict[str, _Broker]


class Link:
    """A client with its thread; callbacks of deliveries come from there."""

    def __init__(
        self,
        configuration: dict[str, object],
        client_factory: Callable[[dict[str, object]], Producer],
        on_poll: Callable[[Link], None],
        last_problem: LastProblem,
    ) -> None:
        """Begin to connect, in the background; `on_poll` is called after each poll."""
        self.configuration = configuration
        self.is_connected = False
        #: How many records it has sent, some of them perhaps more than once.
        self.transmitted = 0
        self._parcels: deque[tuple[float, Parcel]] = deque()
        self._statistics_seen = 0
        self._undecided: list[tuple[int, int, Callable[[bool], None]]] = []
        self.is_retired = self.is_leaving = self._is_closed = False
        self._retired_at = 0.0
        #: Nothing more is reported or decided: nobody polls.
        self.has_ended = False
        self._lock = Lock()
        self._on_poll = on_poll
        self._last_problem = last_problem
        self.client = client_factory(
            configuration
            | {
                "statistics.interval.ms": _STATISTICS_MS,
                "stats_cb": self._on_statistics,
                "error_cb": self._on_error,
                "logger": _log,
                "log.connection.close": False,
            }
        )
        self._thread = Thread(target=self._poll, name="reading-producer", daemon=True)
        self._thread.start()

    @property
    def is_usable(self) -> bool:
        """Return whether it takes records: it is neither given up nor without its thread."""
        return not (self.is_retired or self.is_leaving or self.has_ended)

    def produce(
        self,
        topic: str,
        values: Sequence[bytes | None],
        keys: Sequence[bytes | None] | None,
        report: Callable[[KafkaError | None, Message], None],
    ) -> Iterator[None]:
        """Hand records over, one for each None that is taken. Raises: KafkaException, BufferError.

        C all the way: no signal comes between a record that was taken and its None.
        """
        some_keys = repeat(None) if keys is None else keys
        produce = self.client.produce
        return map(produce, repeat(topic), values, some_keys, repeat(-1), repeat(report))

    def follow(self, parcel: Parcel) -> None:
        """Note when a parcel's records begin to age."""
        self._parcels.append((time.monotonic(), parcel))

    def oldest_seconds(self) -> float:
        """Return the age of the oldest record that has not ended; from the link's thread."""
        while self._parcels and self._parcels[0][1].is_ended:
            self._parcels.popleft()
        return time.monotonic() - self._parcels[0][0] if self._parcels else 0.0

    def decide_later(self, transmitted_before: int, decide: Callable[[bool], None]) -> None:
        """Tell whether anything can have been sent since, as soon as librdkafka's counts do."""
        with self._lock:
            if not self.has_ended:
                due = self._statistics_seen + _STATISTICS_TO_DECIDE
                self._undecided.append((due, transmitted_before, decide))
                return
        decide(True)

    def leave(self) -> None:
        """Take nothing new, finish what is under way, then end.

        Nobody may hand over records meanwhile, or ever after.
        """
        self.is_leaving = True

    def take_password(self, configuration: dict[str, object]) -> None:
        """Come in with the password of another configuration from the next connection on."""
        user, password = configuration.get("sasl.username"), configuration.get("sasl.password")
        if isinstance(user, str) and isinstance(password, str) and not self.has_ended:
            self.client.set_sasl_credentials(user, password)

    def retire(self) -> None:
        """Recall what is not acknowledged. Each record is reported, nothing is sent any more.

        Nobody may hand over records meanwhile, or ever after.
        """
        if not self.is_retired:
            # One that leaves may be ending.
            client: Producer | None = getattr(self, "client", None)
            self._retired_at = time.monotonic()
            self.is_retired = True
            if client is not None:
                client.purge(blocking=False)

    def close(self) -> None:
        """Stop polling; what is undecided is taken for sent."""
        self._is_closed = True
        if current_thread() is not self._thread:
            self._thread.join(_CLOSE_SECONDS)

    def _poll(self) -> None:
        try:
            while not self._is_closed and not self._has_reported_all() and not self._is_wedged():
                try:
                    self._poll_once()
                except Exception:
                    # A callback of a delivery failed: its owner hears nothing more, others do.
                    _log.exception("a callback of Kafka's client failed")
        finally:
            # Whatever ended it: nobody may wait for reports that do not come.
            self._end()

    def _poll_once(self) -> None:
        try:
            self.client.poll(POLL_SECONDS)
            if self.is_retired:
                # Again: something may have been between two queues. Never wait for it.
                self.client.purge(blocking=False)
        finally:
            # Even where the callback of one delivery failed: the records of others age.
            self._on_poll(self)

    def _end(self) -> None:
        for _, parcel in self._parcels:
            if not parcel.is_ended:
                parcel.abandon()
        with self._lock:
            self.has_ended = True
            left, self._undecided = self._undecided, []
        for *_, decide in left:
            decide(True)
        del self.client  # its threads and connections end with it

    def _is_wedged(self) -> bool:
        """Return whether reports are overdue: seen of a client whose broker had been restarted."""
        return self.is_retired and time.monotonic() > self._retired_at + _REPORT_SECONDS

    def _has_reported_all(self) -> bool:
        is_over = self.is_retired or self.is_leaving
        return is_over and not len(self.client) and not self._undecided

    def _on_error(self, error: KafkaError) -> None:
        # What concerns records comes with their reports; this is for whoever reads the log.
        self._last_problem(error)
        _log.warning("Kafka: %s", error.str())

    def _on_statistics(self, text: str) -> None:
        statistics = msgspec.json.decode(text, type=_Statistics)
        self.is_connected = any(broker.state == "UP" for broker in statistics.brokers.values())
        self.transmitted = statistics.txmsgs
        self._statistics_seen += 1
        due = [each for each in self._undecided if each[0] <= self._statistics_seen]
        for each in due:
            self._undecided.remove(each)
            _, transmitted_before, decide = each
            decide(transmitted_before != statistics.txmsgs)
