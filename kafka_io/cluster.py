"""Asks a Kafka cluster about topics, ids, configs, offsets and groups; each within a deadline.

Reads: the cluster. Guarantees: every failure leaves here as one of this room's errors, with
Kafka's own words in it. What changes a cluster is in kafka_io/cluster_changes.py: a worker cannot.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from confluent_kafka import (
    IsolationLevel,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (
    ConfigResource,
    OffsetSpec,
    ResourceType,
)

from kafka_io.questions import Questions
from kafka_io.rights import Right


class TopicOnBroker(NamedTuple):
    """A topic as the cluster has it; `topic_id` changes when it is deleted and made again."""

    name: str
    topic_id: str
    partitions: int
    replication: int


class Cluster(Questions):
    """One cluster, asked through one admin client; blocking."""

    def brokers(self) -> int:
        """How many brokers there are; the first question to ask, it finds an absent cluster."""
        with self.translated():
            return len(self.admin.list_topics(timeout=self.deadline_seconds).brokers)

    def living(self) -> list[str]:
        """Where the brokers are that the cluster counts on, as host:port."""
        with self.translated():
            brokers = self.admin.list_topics(timeout=self.deadline_seconds).brokers.values()
        hosts = [(str(broker.host), broker.port) for broker in brokers]
        return [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in hosts]

    def cluster_id(self) -> str:
        """The id the cluster was formatted with."""
        described = self.ask(lambda: {0: self.admin.describe_cluster(**self.within())}, "DESCRIBE")
        return str(described[0].cluster_id)

    def topics(self, names: Iterable[str]) -> dict[str, TopicOnBroker]:
        """Those of the topics that exist. Raises: NotAllowed for one that is hidden from us."""
        wanted = list(names)
        with self.translated():
            present = self.admin.list_topics(timeout=self.deadline_seconds).topics
        self.refuse_lacking(Right("DESCRIBE", "topic", n) for n in wanted if n not in present)
        wanted = [name for name in wanted if name in present]
        if not wanted:
            return {}
        described = self.ask(
            lambda: self.admin.describe_topics(TopicCollection(wanted), **self.within()), "DESCRIBE"
        )
        return {
            name: TopicOnBroker(
                name,
                str(topic.topic_id),
                len(topic.partitions),
                min(len(partition.replicas) for partition in topic.partitions),
            )
            for name, topic in described.items()
        }

    def topic_names(self) -> set[str]:
        """The names of all topics."""
        with self.translated():
            return set(self.admin.list_topics(timeout=self.deadline_seconds).topics)

    def configs(self, names: Iterable[str]) -> dict[str, dict[str, str]]:
        """Every config of the topics, defaults included."""
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
        return self._configs(resources) if resources else {}

    def broker_configs(self) -> dict[str, dict[str, str]]:
        """Every config of each broker, by the broker's id, as far as the cluster tells."""
        with self.translated():
            brokers = self.admin.list_topics(timeout=self.deadline_seconds).brokers
        found: dict[str, dict[str, str]] = {}
        for broker in brokers:  # the client asks one broker at a time, and refuses more
            found |= self._configs([ConfigResource(ResourceType.BROKER, str(broker))])
        return found

    def _configs(self, resources: list[ConfigResource]) -> dict[str, dict[str, str]]:
        found = self.ask(
            lambda: self.admin.describe_configs(resources, **self.within()), "DESCRIBE_CONFIGS"
        )
        return {
            # A managed cluster may show a name without its value.
            resource.name: {n: str(e.value) for n, e in entries.items() if e.value is not None}
            for resource, entries in found.items()
        }

    def first_offsets(self, topic: str, partitions: int) -> list[int]:
        """The first offset of each partition that is still in the log."""
        return self._offsets(topic, partitions, OffsetSpec.earliest(), committed=False)

    def end_offsets(self, topic: str, partitions: int, *, committed: bool = False) -> list[int]:
        """The next offset of each partition: high watermark, or last stable if `committed`."""
        return self._offsets(topic, partitions, OffsetSpec.latest(), committed=committed)

    def offsets_at(self, topic: str, partitions: int, milliseconds: int) -> list[int]:
        """The first offset of each partition whose record is as new; its end if none is."""
        ends = self.end_offsets(topic, partitions)
        spec = OffsetSpec.for_timestamp(milliseconds)
        found = self._offsets(topic, partitions, spec, committed=False)
        return [end if offset < 0 else offset for offset, end in zip(found, ends, strict=True)]

    def committed_ends(self, places: Iterable[tuple[str, int]]) -> dict[tuple[str, int], int]:
        """How far readers of committed records see, by topic and partition."""
        wanted = {TopicPartition(*place): OffsetSpec.latest() for place in places}
        return self._list_offsets(wanted, IsolationLevel.READ_COMMITTED)

    def owners(self, group: str) -> dict[TopicPartition, str]:
        """Who in a consumer group has which partition, as `client-id@host`; empty: nobody."""
        return {
            TopicPartition(assigned.topic, assigned.partition): _name_of(member)
            for member in self._members(group)
            for assigned in (member.assignment.topic_partitions if member.assignment else ())
        }

    def members(self, group: str) -> list[str]:
        """Who is in a consumer group, with partitions or without, as `client-id@host`."""
        return [_name_of(member) for member in self._members(group)]

    def _members(self, group: str) -> list[Any]:
        admin = self.new_admin_of_living()
        described = self.ask(
            lambda: admin.describe_consumer_groups([group], **self.within()), "DESCRIBE"
        )
        return list(described[group].members)

    def _offsets(
        self, topic: str, partitions: int, spec: OffsetSpec, *, committed: bool
    ) -> list[int]:
        level = IsolationLevel.READ_COMMITTED if committed else IsolationLevel.READ_UNCOMMITTED
        wanted = {TopicPartition(topic, partition): spec for partition in range(partitions)}
        found = self._list_offsets(wanted, level)
        return [found[topic, partition] for partition in range(partitions)]

    def _list_offsets(
        self, wanted: Mapping[TopicPartition, OffsetSpec], level: IsolationLevel
    ) -> dict[tuple[str, int], int]:
        found = self.ask(
            lambda: self.admin.list_offsets(dict(wanted), isolation_level=level, **self.within()),
            "DESCRIBE",
        )
        return {(asked.topic, asked.partition): int(info.offset) for asked, info in found.items()}


def _name_of(member: Any) -> str:
    return f"{member.client_id}@{str(member.host).lstrip('/')}"
