"""What tests do to a broker: make topics, write records, read what a foreign client would see.

Everything goes through confluent-kafka, which shares no code with what is tested.
"""

import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from confluent_kafka import Consumer, IsolationLevel, Message, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

T = TypeVar("T")

ANSWER_SECONDS = 30


@dataclass(frozen=True)
class Kafka:
    """A running broker, as tests see it."""

    bootstrap_servers: str

    @property
    def connection(self) -> dict[str, Any]:
        """How our own readers are told of it."""
        return {"bootstrap_servers": self.bootstrap_servers}

    def admin(self) -> AdminClient:
        return AdminClient(self._settings())

    def producer(self, **settings: Any) -> Producer:
        """Acknowledged by all, idempotent, unless told otherwise (names with _ for .)."""
        return Producer(self._settings(enable_idempotence=True, **settings))

    def consumer(self, **settings: Any) -> Consumer:
        """Reads committed records from the start; assign it or subscribe it."""
        defaults = {
            "group_id": f"test-{uuid.uuid4()}",
            "auto_offset_reset": "earliest",
            "enable_auto_commit": False,
            "isolation_level": "read_committed",
        }
        return Consumer(self._settings(**{**defaults, **settings}))

    def create_topic(
        self, name: str, partitions: int = 1, configs: Mapping[str, str] | None = None
    ) -> str:
        """Create a topic and wait until it can be written to; gives its name."""
        topic = NewTopic(name, partitions, 1, config=dict(configs or {}))
        admin = self.admin()
        admin.create_topics([topic])[name].result(ANSWER_SECONDS)
        wait_until(
            lambda: len(admin.list_topics(name, timeout=5).topics[name].partitions) == partitions,
            f"topic {name} has {partitions} partitions",
        )
        return name

    def alter(self, topic: str, name: str, value: str) -> None:
        """Change a config of a topic, and wait until the broker says so."""
        entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        wanted = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
        admin = self.admin()
        for done in admin.incremental_alter_configs([wanted]).values():
            done.result(ANSWER_SECONDS)
        asked = [ConfigResource(ResourceType.TOPIC, topic)]

        def now() -> str:
            (found,) = [done.result(10) for done in admin.describe_configs(asked).values()]
            return str(found[name].value)

        wait_until(lambda: now() == value, f"{name} is {value}")

    def delete_topic(self, name: str) -> None:
        # Kept: what a client that is gone was asked for is never answered.
        admin = self.admin()
        admin.delete_topics([name])[name].result(ANSWER_SECONDS)

    def write(
        self, topic: str, values: Iterable[bytes | None], partition: int = 0, **settings: Any
    ) -> None:
        """Write the values and return once each is acknowledged."""
        producer = self.producer(**settings)
        failures: list[str] = []

        def delivered(error: object, message: Message) -> None:
            if error is not None:
                failures.append(str(error))

        for value in values:
            producer.produce(topic, value, partition=partition, on_delivery=delivered)
            producer.poll(0)
        left = producer.flush(ANSWER_SECONDS)
        assert not failures, failures
        assert left == 0, f"{left} records not acknowledged"

    def end_offsets(self, topic: str) -> dict[int, int]:
        """The next offset of each partition (high watermark)."""
        consumer = self.consumer()

        def led() -> list[int]:
            found = consumer.list_topics(topic, timeout=ANSWER_SECONDS).topics[topic].partitions
            return list(found) if all(each.leader >= 0 for each in found.values()) else []

        try:
            # After a freeze or a restart partitions are without a leader for a moment.
            return {
                partition: consumer.get_watermark_offsets(
                    TopicPartition(topic, partition), timeout=ANSWER_SECONDS
                )[1]
                for partition in wait_until(led, f"each partition of {topic} has a leader")
            }
        finally:
            consumer.close()

    def settle(self, topic: str) -> None:
        """Wait until no transaction on the topic is open.

        Kafka answers a commit when it is decided, and writes what makes it readable afterwards.
        """
        ends = {
            TopicPartition(topic, partition): OffsetSpec.latest()
            for partition in self.end_offsets(topic)
        }
        admin = self.admin()

        def offsets(level: IsolationLevel) -> list[int]:
            found = admin.list_offsets(ends, isolation_level=level, request_timeout=ANSWER_SECONDS)
            return [future.result().offset for future in found.values()]

        wait_until(
            lambda: (
                offsets(IsolationLevel.READ_COMMITTED) == offsets(IsolationLevel.READ_UNCOMMITTED)
            ),
            f"all transactions on {topic} have ended",
        )

    def read(self, topic: str, **settings: Any) -> list[Message]:
        """All records up to the present end, in order within each partition."""
        return list(self.each(topic, **settings))

    def each(self, topic: str, **settings: Any) -> Iterator[Message]:
        """One record after the other up to the present end, for those who read millions.

        Ends by the consumer's position: the last offset may be a marker nobody is given.
        """
        ends = {partition: end for partition, end in self.end_offsets(topic).items() if end}
        if not ends:
            return
        consumer = self.consumer(**settings)
        try:
            consumer.assign([TopicPartition(topic, partition, 0) for partition in ends])
            last = time.monotonic()
            while any(
                place.offset < ends[place.partition]
                for place in consumer.position([TopicPartition(topic, p) for p in ends])
            ):
                assert time.monotonic() - last < ANSWER_SECONDS, f"{topic} has no end {ends}"
                for record in consumer.consume(10_000, timeout=0.05):
                    assert record.error() is None, record.error()
                    yield record
                    last = time.monotonic()
        finally:
            consumer.close()

    def _settings(self, **settings: Any) -> dict[str, Any]:
        named = {name.replace("_", "."): value for name, value in settings.items()}
        return {"bootstrap.servers": self.bootstrap_servers, "log_level": 0, **named}


class TransactionalWriter:
    """Writes records in transactions, as a worker does."""

    def __init__(self, kafka: Kafka, topic: str, name: str | None = None, **settings: Any) -> None:
        self._topic = topic
        self._producer = kafka.producer(
            transactional_id=name or f"{topic}-{uuid.uuid4()}", **settings
        )
        self._producer.init_transactions(ANSWER_SECONDS)

    def begin(
        self, records: Iterable[tuple[bytes | None, bytes | None]], partition: int = 0
    ) -> None:
        """Write keys and values and leave their transaction open."""
        self._producer.begin_transaction()
        self.add(records, partition)

    def add(self, records: Iterable[tuple[bytes | None, bytes | None]], partition: int = 0) -> None:
        """Write more of it."""
        for key, value in records:
            self._producer.produce(self._topic, value, key, partition=partition)
        # What was only queued would be aborted without a trace.
        self._producer.flush(ANSWER_SECONDS)

    def end(self, *, is_aborted: bool = False) -> None:
        if is_aborted:
            self._producer.abort_transaction(ANSWER_SECONDS)
        else:
            self._producer.commit_transaction(ANSWER_SECONDS)

    def write(
        self,
        records: Iterable[tuple[bytes | None, bytes | None]],
        *,
        partition: int = 0,
        is_aborted: bool = False,
    ) -> None:
        """Write one transaction."""
        self.begin(records, partition)
        self.end(is_aborted=is_aborted)


def wait_until(is_so: Callable[[], T], what: str, seconds: float = ANSWER_SECONDS) -> T:
    """Ask until the answer is true, and give it; fail with `what` at the deadline."""
    deadline = time.monotonic() + seconds
    while not (answer := is_so()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.02)
    return answer
