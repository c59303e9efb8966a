"""Reads `energy_imports`: the positions of imports, as far as they are committed.

Reads: Kafka, without a group. Writes: nothing. Guarantees: `read` has seen every transaction
that was committed before it was called. It reads to the high watermark and not to where
read_committed ends: a position can stand behind the open transaction of another import. (A
read_committed consumer that is asked for the high watermark gives the last stable offset.)
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from threading import Lock
from typing import Self

from confluent_kafka import Consumer, IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from contract.errors import CorruptRecord
from contract.import_positions import IMPORTS_PARTITION, Position, decode_position
from contract.kafka import KafkaSettings
from contract.prefix import prefixed
from contract.topics import IMPORTS
from kafka_io.polling import SOON_BACK, consumer_of, poll
from kafka_io.quiet import QUIET
from kafka_io.rights import named, read, refusal
from producer.client.last_problem import LastProblem
from producer.errors import BrokerUnreachable, PositionsUnread, TopicMissing

_POLL_SECONDS = 0.05
#: Longer than a broker takes to give up the open transaction of another import.
_READ_SECONDS = 25.0


class PositionLog:
    """The positions of one import, or of all of a kind; may be shared by threads.

    The first `read` reads all of the topic, each later one only what is new.
    """

    def __init__(self, settings: KafkaSettings, prefix: bytes = b"") -> None:
        """Store the arguments; keys that do not begin with the prefix are passed over."""
        self._settings = settings
        self._prefix = prefix
        self._last_problem = LastProblem()
        self._consumer: Consumer | None = None
        self._admin: AdminClient | None = None
        self._next_offset = 0
        self._positions: dict[bytes, Position] = {}
        self._lock = Lock()

    def read(self, timeout_seconds: float = _READ_SECONDS) -> Mapping[bytes, Position]:
        """Return all positions by key, read up to the end that the topic has now.

        Raises: BrokerUnreachable, PositionsUnread, TopicMissing, CorruptRecord.
        """
        deadline = time.monotonic() + timeout_seconds
        with self._lock:
            try:
                with named(read(IMPORTS.name)):
                    self._read_until(deadline)
            except (KafkaException, PositionsUnread) as error:
                # A client of a broker that has restarted may ask with its old epoch forever.
                self._let_go()
                if isinstance(error, PositionsUnread):
                    raise
                raise BrokerUnreachable(
                    f"{IMPORTS.name} cannot be read at {self._settings.bootstrap_servers}:"
                    f" {self._why(error)}"
                ) from error
            return dict(self._positions)

    def close(self) -> None:
        """Release the connection; may be called twice."""
        with self._lock:
            self._let_go()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _why(self, error: KafkaException) -> str:
        said = str(error.args[0].str())
        return said if refusal(error) else self._last_problem.text or said

    def _let_go(self) -> None:
        if self._consumer is not None:
            self._consumer.close()
        self._consumer = self._admin = None

    def _read_until(self, deadline: float) -> None:
        partition = TopicPartition(IMPORTS.name, IMPORTS_PARTITION)
        end = self._end_offset(partition, deadline)
        consumer = self._connected()
        while self._next_offset < end:
            if time.monotonic() > deadline:
                raise PositionsUnread
            for message in poll(consumer, _POLL_SECONDS):
                self._apply(message.key(), message.value())
            # Its own account: also past control records, which no consumer is given.
            (place,) = consumer.position([partition])
            self._next_offset = max(self._next_offset, place.offset)

    def _end_offset(self, partition: TopicPartition, deadline: float) -> int:
        left = max(1.0, deadline - time.monotonic())
        if self._admin is None:
            admin = AdminClient(
                self._settings.for_confluent()
                | SOON_BACK
                | QUIET
                | {"error_cb": self._last_problem}
            )
            if IMPORTS.name not in admin.list_topics(timeout=left).topics:
                raise TopicMissing(IMPORTS.name, self._settings.in_sight)
            self._admin = admin
        asked = self._admin.list_offsets(
            {partition: OffsetSpec.latest()},
            isolation_level=IsolationLevel.READ_UNCOMMITTED,
            request_timeout=left,
        )
        return int(asked[partition].result().offset)

    def _connected(self) -> Consumer:
        if self._consumer is None:
            name = prefixed("energy-imports-reader")
            self._consumer = consumer_of(self._settings, name, SOON_BACK)
            place = TopicPartition(IMPORTS.name, IMPORTS_PARTITION, self._next_offset)
            self._consumer.assign([place])
        return self._consumer

    def _apply(self, key: bytes | None, value: bytes | None) -> None:
        if key is None:
            raise CorruptRecord(f"a record of {IMPORTS.name} has no key")
        if not key.startswith(self._prefix):
            return
        if value is None:
            self._positions.pop(key, None)
        else:
            self._positions[key] = decode_position(value)
