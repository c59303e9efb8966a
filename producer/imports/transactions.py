"""The transactional client of an import: a fence, one transaction after the other, an end.

Writes: the readings, the quarantine, `energy_imports`. An open transaction hides the readings
behind it, so rows are handed over only once they are all there, and a broker gives up the
transaction of a dead process after 5 s.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import repeat

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from contract.import_positions import (
    IMPORTS_PARTITION,
    Position,
    encode_position,
    import_transactional_id,
)
from contract.topics import IMPORTS, QUARANTINE, READINGS
from kafka_io.quiet import QUIET
from kafka_io.rights import commit_as, in_words, named, write
from producer.client.hidden_topics import refuse_hidden
from producer.client.last_problem import LastProblem
from producer.judging import Batch
from producer.settings import ProducerSettings

STEP_SECONDS = 5.0
_TRANSACTION_TIMEOUT_MS = 5_000
_ABORT_SECONDS = 1.0
_log = logging.getLogger(__name__)


class ImportWriter:
    """At most one client at a time; every failure is a KafkaException, its outcome unknown."""

    def __init__(
        self,
        settings: ProducerSettings,
        kind: str,
        import_id: str,
        client_factory: Callable[[dict[str, object]], Producer] = Producer,
    ) -> None:
        self._settings = settings
        self._transactional_id = import_transactional_id(kind, import_id)
        self._topics = (READINGS.name, QUARANTINE.name, IMPORTS.name)
        self._rights = (commit_as(self._transactional_id), *map(write, self._topics))
        self._client_factory = client_factory
        self._client: Producer | None = None
        self._login = settings.fingerprint()
        self._is_open = False
        #: What Kafka said about a record that it refused for lack of a right.
        self._refused: KafkaException | None = None
        #: What the client said last of its connections.
        self.last_problem = LastProblem()

    def fence(self) -> None:
        """Start over: what a former client had open is aborted for good."""
        self.drop()
        self._login = self._settings.fingerprint()
        client = self._client = self._client_factory(self._configuration())
        for topic in self._topics:
            refuse_hidden(client, topic, STEP_SECONDS)
        with named(*self._rights):
            client.init_transactions(STEP_SECONDS)

    @property
    def is_outdated(self) -> bool:
        """Whether a file of the login was replaced since the fence: its client cannot come back."""
        return self._login != self._settings.fingerprint()

    def transact(self, batch: Batch, changed: Mapping[bytes, Position]) -> None:
        """Commit rows together with positions."""
        client = self._begun()
        self._produce(client, batch)
        # Last, so that the position of another import hardly ever waits behind ours.
        for key, position in changed.items():
            client.produce(IMPORTS.name, encode_position(position), key, IMPORTS_PARTITION)
        self._commit(client)

    def transact_if(
        self,
        batch: Batch,
        changed: Mapping[bytes, bytes | None],
        check: Callable[[Sequence[int]], None],
    ) -> None:
        """Commit rows together with values of `energy_imports`, which are written first.

        `check` is called with their offsets; what it raises is raised here, and nothing is
        committed.
        """
        client = self._begun()
        offsets: list[int] = []
        failures: list[KafkaError] = []

        def written(error: KafkaError | None, message: Message) -> None:
            if error is None:
                offsets.append(message.offset() or 0)
            else:
                failures.append(error)

        for key, value in changed.items():
            client.produce(IMPORTS.name, value, key, IMPORTS_PARTITION, written)
        client.flush(STEP_SECONDS)
        if len(offsets) != len(changed):
            failed = [*failures, KafkaError(KafkaError._TIMED_OUT)][0]
            raise in_words(KafkaException(failed), write(IMPORTS.name))
        try:
            check(offsets)
        except BaseException:
            self._abort(client)
            raise
        self._produce(client, batch)
        self._commit(client)

    def _begun(self) -> Producer:
        if self._client is None:
            raise KafkaException(KafkaError(KafkaError._STATE))
        self._refused = None
        self._client.begin_transaction()
        self._is_open = True
        return self._client

    def _produce(self, client: Producer, batch: Batch) -> None:
        keys = repeat(None) if self._settings.partitioner == "none" else batch.keys
        # C all the way: 5,000 rows in some milliseconds.
        with named(write(READINGS.name)):
            deque(map(client.produce, repeat(READINGS.name), batch.values, keys), maxlen=0)
        with named(write(QUARANTINE.name)):
            for record in batch.quarantined:
                client.produce(QUARANTINE.name, record, on_delivery=self._note)

    def _note(self, error: KafkaError | None, message: Message) -> None:
        if error is not None and error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            self._refused = in_words(KafkaException(error), write(message.topic() or ""))

    def _commit(self, client: Producer) -> None:
        # Raises if any record was not acknowledged; the transaction then ends aborted.
        try:
            with named(*self._rights):
                client.commit_transaction(STEP_SECONDS)
        except KafkaException as error:
            # "1 message(s) failed" says less than what was said about it.
            raise (self._refused or error) from error
        self._is_open = False

    def _abort(self, client: Producer) -> None:
        """End a transaction of which nothing may stay; the client is good for the next one."""
        try:
            client.abort_transaction(STEP_SECONDS)
            self._is_open = False
        except KafkaException as error:
            _log.info("not aborted in order: %s", error)
            self.drop()

    def drop(self) -> None:
        """Release the client; what is open is aborted. May be called twice."""
        client, self._client = self._client, None
        if client is None:
            return
        try:
            client.poll(0)  # what it has to say of its connections
            client.purge()
        except KafkaException as error:
            _log.info("after a fatal error: %s", error)
        if self._is_open:
            self._is_open = False
            try:
                # An open transaction hides the readings behind it.
                client.abort_transaction(_ABORT_SECONDS)
            except KafkaException as error:
                _log.info("left to be aborted by the next fence, or its timeout: %s", error)

    def _configuration(self) -> dict[str, object]:
        return (
            self._settings.for_producer()
            | {
                "transactional.id": self._transactional_id,
                "transaction.timeout.ms": _TRANSACTION_TIMEOUT_MS,
                "message.timeout.ms": _TRANSACTION_TIMEOUT_MS,
                "error_cb": self.last_problem,
            }
            | QUIET
        )
