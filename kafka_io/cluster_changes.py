"""Makes, grows and deletes topics and groups, for the commands; a worker only asks.

Writes: what it is told to, nothing else. Guarantees: when it returns the change is visible;
failures are those of `Cluster`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import Future
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import NewPartitions, NewTopic

from contract.kafka import KafkaSettings
from kafka_io.cluster import Cluster, TopicOnBroker
from kafka_io.errors import ClusterRefused, ConfigRefused
from kafka_io.questions import PAUSE_SECONDS, answer
from kafka_io.rights import Right

#: A managed cluster refuses values beyond its bounds, and names that are its own matter.
_CONFIG_REFUSED = {KafkaError.INVALID_CONFIG, KafkaError.POLICY_VIOLATION}


class ClusterAdmin(Cluster):
    """A cluster that may be changed."""

    def __init__(self, settings: KafkaSettings) -> None:
        super().__init__(settings)
        self._made: set[str] = set()

    def topics(self, names: Iterable[str]) -> dict[str, TopicOnBroker]:
        """Those of the topics that exist; one that was made through us does, whoever is asked.

        The client asks any broker, and each hears of a new topic at a time of its own.
        """
        wanted = list(names)
        deadline = time.monotonic() + self.deadline_seconds
        while True:
            found = super().topics(wanted)
            late = self._made.intersection(wanted) - found.keys()
            if not late:
                if self._made and self.brokers() == 1:
                    self._made.clear()  # there is nobody else who might not have heard
                return found
            if time.monotonic() > deadline:
                raise ClusterRefused(f"{', '.join(sorted(late))}: created, but not visible")
            time.sleep(PAUSE_SECONDS)

    def create_topics(self, topics: list[NewTopic]) -> set[str]:
        """Create topics; returns the names of those that were really new.

        Raises: ConfigRefused where the cluster does not let one have its configs.
        """
        made: set[str] = set()
        refused: list[str] = []
        for name, done in self.admin.create_topics(topics, **self.within()).items():
            with self.translated(Right("CREATE", "topic", name)):
                try:
                    answer(self.admin, done, self.deadline_seconds)
                except KafkaException as error:
                    code = error.args[0].code()
                    if code in _CONFIG_REFUSED:
                        refused.append(f"{name}: {error.args[0].str()}")
                        continue
                    if code != KafkaError.TOPIC_ALREADY_EXISTS:
                        raise
                else:
                    made.add(name)
                self._made.add(name)
        if refused:
            raise ConfigRefused("; ".join(refused), frozenset(made))
        return made

    def grow(self, topic: str, partitions: int) -> None:
        """Give a topic more partitions, and wait until they are visible."""
        wanted = [NewPartitions(topic, partitions)]
        self.ask(lambda: self.admin.create_partitions(wanted, **self.within()), "ALTER")
        deadline = time.monotonic() + self.deadline_seconds
        while self.topics([topic])[topic].partitions < partitions:
            if time.monotonic() > deadline:
                raise ClusterRefused(f"{topic}: grown, but its partitions are not visible")
            time.sleep(PAUSE_SECONDS)

    def delete_topics(self, names: Iterable[str]) -> None:
        """Delete topics and wait until no broker names them; one that is not there is no error."""
        wanted = [name for name in names if name in self.topic_names()]
        if not wanted:
            return
        self._made.difference_update(wanted)
        for name, done in self.admin.delete_topics(wanted, **self.within()).items():
            right = Right("DELETE", "topic", name)
            self._unless_gone(done, KafkaError.UNKNOWN_TOPIC_OR_PART, right)
        deadline = time.monotonic() + self.deadline_seconds
        while left := self.topic_names() & set(wanted):
            if time.monotonic() > deadline:
                raise ClusterRefused(f"{', '.join(sorted(left))}: deleted, but still visible")
            time.sleep(PAUSE_SECONDS)

    def delete_group(self, group: str) -> None:
        """Delete a group without members; one that is not there is no error."""
        for done in self.admin.delete_consumer_groups([group], **self.within()).values():
            right = Right("DELETE", "group", group)
            self._unless_gone(done, KafkaError.GROUP_ID_NOT_FOUND, right)

    def _unless_gone(self, done: Future[Any], gone: int, right: Right) -> None:
        with self.translated(right):
            try:
                answer(self.admin, done, self.deadline_seconds)
            except KafkaException as error:
                if error.args[0].code() != gone:
                    raise
