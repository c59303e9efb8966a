"""The producer of readings: idempotent, acknowledged by all replicas, bounded.

Writes: whatever topics its deliveries name, in practice the readings and the quarantine.
Guarantees: nothing is called acknowledged that Kafka did not acknowledge, and that is there
once; nothing is called refused that can be in a log (outcome.py); once `stop` has returned,
nothing is sent. When a record is not acknowledged in time, all that are under way are given up
with it, and a new client continues (polled_client.py). Where none can be made (a password file is
away, no thread is left) records are refused at once, `problem` says why, and each use tries again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock

from confluent_kafka import KafkaException, Producer

from producer.client.delivery import Delivery
from producer.client.hidden_topics import refuse_hidden
from producer.client.last_problem import LastProblem
from producer.client.polled_client import DECIDE_SECONDS, POLL_SECONDS, Link
from producer.client.queue_room import QueueRoom
from producer.errors import BrokerUnreachable, ProducerStopped, RecordsRefused, TopicMissing
from producer.settings import ProducerSettings

_log = logging.getLogger(__name__)

_STOP_SECONDS = 8.0
#: How often a client is tried to be made again.
_RENEW_SECONDS = 0.5
#: How often the files of the login are looked at.
_LOGIN_SECONDS = 1.0


class ReadingProducer:
    """One connection to Kafka for many deliveries, from any thread."""

    def __init__(
        self,
        settings: ProducerSettings,
        *,
        client_factory: Callable[[dict[str, object]], Producer] = Producer,
        on_given_up: Callable[[], object] = lambda: None,
        on_not_renewed: Callable[[], object] = lambda: None,
    ) -> None:
        """Begin to connect, in the background.

        `on_given_up` is called, from a thread, each time all that is under way is given up,
        `on_not_renewed` each time no client could be made after that.
        """
        self.settings = settings
        self._on_given_up = on_given_up
        self._on_not_renewed = on_not_renewed
        self._problem: str | None = None
        self._renewed_at = self._login_seen_at = 0.0
        self._client_factory = client_factory
        self._room = QueueRoom(settings.queue_records, settings.queue_bytes)
        self._last_problem = LastProblem()
        self._handing_over = Lock()
        self._login = settings.fingerprint()
        self._retired: list[Link] = []
        self._link = self._new_link()

    def check(self, *topics: str, timeout_seconds: float = 10.0) -> None:
        """Ask the broker for the topics.

        Raises: BrokerUnreachable, TopicMissing, RecordsRefused.
        """
        try:
            found = self._link.client.list_topics(timeout=timeout_seconds).topics
        except KafkaException as error:
            reason = self._last_problem.text or error.args[0].str()
            raise BrokerUnreachable(
                f"no broker answers at {self.settings.bootstrap_servers} ({reason}); start it,"
                " or set KAFKA_BOOTSTRAP_SERVERS"
            ) from error
        for topic in topics:
            if topic not in found:
                try:
                    refuse_hidden(self._link.client, topic, timeout_seconds)
                except KafkaException as error:
                    raise RecordsRefused(error.args[0].str()) from error
                raise TopicMissing(topic, self.settings.in_sight)

    def open(self, *, keep_failed: bool = False) -> Delivery:
        """Begin a delivery. Raises: ProducerStopped."""
        if self._room.is_closed:
            raise ProducerStopped
        return Delivery(
            self._room,
            self._handed_over,
            self._link,
            with_keys=self.settings.partitioner != "none",
            keep_failed=keep_failed,
        )

    @property
    def is_connected(self) -> bool:
        """Return whether a broker was connected at most a moment ago."""
        self._renew_if_needed()
        return self._link.is_usable and self._link.is_connected

    @property
    def problem(self) -> str | None:
        """Say why nothing can be sent until Kafka's client can be made, None if it is there."""
        self._renew_if_needed()
        return self._problem

    @property
    def records_under_way(self) -> int:
        """Return how many records are neither acknowledged nor given up."""
        return self._room.records

    @contextmanager
    def _handed_over(self) -> Iterator[Link]:
        """Give the link that takes records now; it stays the one as long as this is held.

        It may be one that takes none: see `problem`.
        """
        with self._handing_over:
            if not self._link.is_usable:
                self._renew()
            yield self._link

    def stop(self, deadline_seconds: float = _STOP_SECONDS) -> None:
        """Wait for what is under way, at most so long; then recall the rest and let go.

        May be called twice.
        """
        self._room.close(deadline_seconds)
        with self._handing_over:
            links = [*self._retired, self._link]
            for link in links:
                if not link.has_ended:
                    link.retire()
        deadline = time.monotonic() + DECIDE_SECONDS
        while not all(link.has_ended for link in links) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS / 10)
        for link in links:
            link.close()

    def _new_link(self) -> Link:
        login = self.settings.fingerprint()
        link = Link(
            self.settings.for_producer(), self._client_factory, self._look_at, self._last_problem
        )
        self._login = login
        return link

    def _renew_login(self, link: Link) -> None:
        """Go on with a new client once a file of the login was replaced; the former one finishes.

        librdkafka reads certificates once. A password the former one is told: a broker may take its
        connection away before all is acknowledged. Files that do not fit together yet leave all as
        it is.
        """
        now = time.monotonic()
        if now < self._login_seen_at + _LOGIN_SECONDS:
            return
        self._login_seen_at = now
        login = self.settings.fingerprint()
        if login == self._login or not link.is_usable:
            return
        with self._handing_over:
            if self._room.is_closed or link is not self._link or not link.is_usable:
                return
            try:
                self._link = self._new_link()
            except Exception as error:
                _log.warning("continuing with the previous login: %s", error)
                return
            link.leave()
            self._retired = [each for each in self._retired if not each.has_ended] + [link]
            for former in self._retired:
                former.take_password(self._link.configuration)
        _log.info("a file of the login was replaced: continuing with a new client")

    def _look_at(self, link: Link) -> None:
        """Give up all that is under way once a record is too old."""
        self._renew_login(link)
        patience = self.settings.delivery_timeout_seconds
        if not patience or link.oldest_seconds() < patience:
            return
        with self._handing_over:
            if self._room.is_closed or link.is_retired:
                return
            if link is not self._link:
                self._on_given_up()
                link.retire()
                return
            _log.warning(
                "no acknowledgement within %g s: giving up %d records",
                patience,
                self.records_under_way,
            )
            self._on_given_up()
            link.retire()
            self._renewed_at = 0.0
            self._renew()

    def _renew_if_needed(self) -> None:
        if not self._link.is_usable:
            with self._handing_over:
                self._renew()

    def _renew(self) -> None:
        """Make a client in place of one that takes nothing; a failure is tried again later.

        Settings read files (a password, certificates) that may be away while they are replaced.
        """
        now = time.monotonic()
        former = self._link
        if self._room.is_closed or former.is_usable or now < self._renewed_at + _RENEW_SECONDS:
            return
        self._renewed_at = now
        try:
            self._link = self._new_link()
        except Exception as error:
            # Whatever it is: with no client left nobody else would try again.
            self._problem = f"Kafka's client cannot be created: {error}"
            self._on_not_renewed()
            _log.error("%s; trying again", self._problem)
            return
        self._problem = None
        self._retired = [each for each in self._retired if not each.has_ended] + [former]
