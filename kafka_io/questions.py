"""One admin client: questions within a deadline, and what their failures mean.

Reads: the cluster. Guarantees: every failure leaves here as one of this room's errors, with
Kafka's own words in it, or with the right that is missing.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from contract.kafka import KafkaSettings
from kafka_io.errors import ClusterRefused, NoBroker, NotAllowed
from kafka_io.quiet import QUIET
from kafka_io.rights import RESOURCE_OF, Right, lacking, not_allowed, of_answer, refusal

#: Promised: no broker at start ends a command within 15 s; `status` within 10 s.
DEADLINE_SECONDS = 9.0
_AWAY = {
    KafkaError._TRANSPORT,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._TIMED_OUT,
    KafkaError._RESOLVE,
    KafkaError.REQUEST_TIMED_OUT,
}
#: Right after a topic is made or a leader has moved, brokers or we may not have heard of it yet.
_NOT_YET = {
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
}
PAUSE_SECONDS = 0.1
#: A question that is not answered so long may wait for a broker that is gone.
LOOK_SECONDS = 0.5
#: What librdkafka adds to a reason, for its own developers.
_HOW_LONG = re.compile(r"^\S+/bootstrap: |ipv[46]#| \(after \d+ms in state \w+\).*$")


log = logging.getLogger(__name__)


class Questions:
    """Asks one cluster; blocking."""

    def __init__(self, settings: KafkaSettings, deadline_seconds: float = DEADLINE_SECONDS) -> None:
        self.settings = settings
        self.deadline_seconds = deadline_seconds
        self._last_problem = ""
        self._login = settings.fingerprint()
        with self.translated():
            self._admin = self._new_admin()

    @property
    def admin(self) -> AdminClient:
        """The client; another one where a file of the login was replaced."""
        if self.settings.fingerprint() != self._login:
            try:
                self._admin = self._new_admin()
            except KafkaException as error:
                # A certificate whose key is not there yet.
                log.warning("continuing with the previous login: %s", error.args[0].str())
        return self._admin

    def _new_admin(self) -> AdminClient:
        login = self.settings.fingerprint()
        admin = AdminClient(self.settings.for_confluent() | QUIET | {"error_cb": self._note})
        self._login = login
        return admin

    @contextmanager
    def translated(self, *rights: Right) -> Iterator[None]:
        """Turn Kafka's exceptions into this room's; `rights` are those that are needed."""
        try:
            yield
        except KafkaException as error:
            raise self.failure(error, *rights) from error

    def failure(self, error: KafkaException, *rights: Right) -> NoBroker | ClusterRefused:
        """This room's error for one of Kafka's."""
        cause = error.args[0]
        if (missing := refusal(error, rights)) is not None:
            return missing
        if cause.code() in _AWAY:
            self.admin.poll(0)
            return no_broker(self.settings, self._last_problem or cause.str())
        return ClusterRefused(f"Kafka at {self.settings.bootstrap_servers} says: {cause.str()}")

    def _note(self, problem: KafkaError) -> None:
        # "all brokers are down" says less than what was said about each before it.
        if problem.code() != KafkaError._ALL_BROKERS_DOWN:
            self._last_problem = _HOW_LONG.sub("", problem.str())

    def within(self) -> dict[str, float]:
        """The deadline, as an argument of an admin client's call."""
        return {"request_timeout": self.deadline_seconds}

    def ask(
        self, question: Callable[[], Mapping[Any, Future[Any]]], operation: str
    ) -> dict[Any, Any]:
        """Ask until it is answered, or refused for good, or the deadline is over.

        `operation` is what one must be allowed to do with what is asked about.
        """
        deadline = time.monotonic() + self.deadline_seconds
        while True:
            answers = {}
            for asked, future in self._begun(question).items():
                try:
                    answers[asked] = answer(self.admin, future, self.deadline_seconds)
                except KafkaException as error:
                    if error.args[0].code() not in _NOT_YET or time.monotonic() > deadline:
                        raise self.failure(error, *of_answer(operation, asked, error)) from error
                    break
            else:
                return answers
            time.sleep(PAUSE_SECONDS)
            # Where we have not heard of it: librdkafka asks whom it knows.
            with suppress(KafkaException):
                self.admin.list_topics(timeout=LOOK_SECONDS)

    def _begun(
        self, question: Callable[[], Mapping[Any, Future[Any]]]
    ) -> Mapping[Any, Future[Any]]:
        with self.translated():
            return question()

    def lacking(self, needed: Iterable[Right]) -> list[Right]:
        """Return those of these rights to topics and groups that our user lacks.

        As far as the cluster tells. Of a topic that does not exist nothing is lacking: who has a
        right to it is told that it does not.
        """
        found: list[Right] = []
        wanted: dict[str, dict[str, list[Right]]] = {"topic": {}, "group": {}}
        for right in needed:
            wanted[right.resource_type].setdefault(right.name, []).append(right)
        for kind, by_name in wanted.items():
            if not by_name:
                continue
            # Kept until all is answered: nobody answers for a client that is gone.
            admin = self.admin if kind == "topic" else self.new_admin_of_living()
            with self.translated():
                for name, future in self._described(admin, kind, [*by_name]).items():
                    found += _lacking(by_name[name], admin, future, self.deadline_seconds)
        return found

    def _described(
        self, admin: AdminClient, kind: str, names: list[str]
    ) -> Mapping[str, Future[Any]]:
        options: dict[str, Any] = {"include_authorized_operations": True, **self.within()}
        if kind == "topic":
            return admin.describe_topics(TopicCollection(names), **options)
        return admin.describe_consumer_groups(names, **options)

    def new_admin_of_living(self) -> AdminClient:
        """Return a client that has heard of the brokers that answer, for questions about groups.

        One whose question after a group's coordinator was cut off by a restart asks in vain for
        ever, or aborts the process on an assertion (librdkafka 2.16,
        rd_kafka_enq_once_del_source_return).
        """
        with self.translated():
            admin = self._new_admin()
            admin.list_topics(timeout=self.deadline_seconds)
        return admin

    def refuse_lacking(self, needed: Iterable[Right]) -> None:
        """Raise NotAllowed with all of these rights to topics and groups that our user lacks."""
        if missing := self.lacking(needed):
            raise NotAllowed(not_allowed(missing))


def answer(admin: AdminClient, asked: Future[Any], seconds: float) -> Any:
    """Return the answer to what this client was asked; learn meanwhile which brokers live.

    librdkafka asks the broker that it last heard called the controller. Where that one is gone it
    neither asks another nor looks again; told again, it sends what waits to the next one.
    Raises: KafkaException, a second after the time is over at the latest.
    """
    deadline = time.monotonic() + seconds
    while not wait([asked], LOOK_SECONDS).done:
        if time.monotonic() > deadline:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        with suppress(KafkaException):
            admin.list_topics(timeout=LOOK_SECONDS)
    return asked.result()


def _lacking(
    needed: list[Right], admin: AdminClient, future: Future[Any], seconds: float
) -> list[Right]:
    try:
        operations = answer(admin, future, seconds).authorized_operations
    except KafkaException as error:
        code = error.args[0].code()
        if code in RESOURCE_OF:
            return needed
        if code in _NOT_YET or code == KafkaError.GROUP_ID_NOT_FOUND:
            return []
        raise
    # Not every cluster tells; one that shows the resource would at least say so.
    return lacking(needed, (each.name for each in operations)) if operations else []


def no_broker(settings: KafkaSettings, reason: str) -> NoBroker:
    """Say that nobody answers, and what to do."""
    return NoBroker(
        f"no broker answers at {settings.bootstrap_servers} ({reason}): start one, or set "
        "KAFKA_BOOTSTRAP_SERVERS"
    )
