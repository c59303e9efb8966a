"""Several brokers: each has its own configs, and hears of a topic at a time of its own."""

from __future__ import annotations

import weakref
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import ConfigResource, NewTopic

from contract.kafka import KafkaSettings
from kafka_io.cluster import Cluster
from kafka_io.cluster_changes import ClusterAdmin
from kafka_io.rights import Right


class Admin:
    """As confluent_kafka's: more than one broker in one question is refused."""

    def list_topics(self, timeout: float) -> Any:
        return SimpleNamespace(brokers={1: "one", 2: "two", 3: "three"})

    def describe_configs(self, resources: list[ConfigResource], **_: Any) -> Any:
        if len(resources) > 1:
            raise KafkaException("Only one ConfigResource of type BROKER is allowed per call")
        found: Future[dict[str, Any]] = Future()
        found.set_result({"min.insync.replicas": SimpleNamespace(value=resources[0].name)})
        return {resources[0]: found}


def test_each_of_three_brokers_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Cluster, "_new_admin", lambda _: Admin())
    cluster = Cluster(KafkaSettings(bootstrap_servers="127.0.0.1:1"))
    assert cluster.broker_configs() == {str(n): {"min.insync.replicas": str(n)} for n in (1, 2, 3)}


class AdminOfTwo:
    """Asks one of two brokers, then the other; the second hears of a topic when it is asked."""

    def __init__(self) -> None:
        self._heard: list[set[str]] = [set(), set()]
        self._asked = 0

    def create_topics(self, topics: list[NewTopic], **_: Any) -> dict[str, Future[None]]:
        done: Future[None] = Future()
        done.set_result(None)
        self._heard[0] = {topic.topic for topic in topics}
        return {topic.topic: done for topic in topics}

    def list_topics(self, timeout: float) -> Any:
        self._asked += 1
        told = set(self._heard[self._asked % 2])
        self._heard[1] = self._heard[0]
        return SimpleNamespace(topics=dict.fromkeys(told), brokers={1: "one", 2: "two"})

    def describe_topics(self, wanted: Any, **_: Any) -> dict[str, Future[Any]]:
        described: Future[Any] = Future()
        partitions = [SimpleNamespace(replicas=[1, 2])]
        described.set_result(SimpleNamespace(topic_id="id", partitions=partitions))
        return dict.fromkeys(self._heard[0], described)


def test_a_topic_that_was_made_is_there_though_a_broker_has_not_heard_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    admin = AdminOfTwo()
    monkeypatch.setattr(Cluster, "_new_admin", lambda _: admin)
    monkeypatch.setattr(Cluster, "refuse_lacking", lambda *_: None)
    cluster = ClusterAdmin(KafkaSettings(bootstrap_servers="127.0.0.1:1"))
    assert cluster.create_topics([NewTopic("views", 1, 2)]) == {"views"}
    assert cluster.topics(["views"])["views"].replication == 2
    assert cluster.topics(["another"]) == {}, "which nobody has made"


class LivingAdmin:
    """Answers about groups as confluent_kafka's: not for a client that is gone."""

    def __init__(self, *operations: str) -> None:
        self._operations = [SimpleNamespace(name=name) for name in operations]

    def describe_consumer_groups(self, names: list[str], **_: Any) -> dict[str, Any]:
        asked, operations = weakref.ref(self), self._operations

        class Answer(Future[Any]):
            def result(self, timeout: float | None = None) -> Any:
                assert asked() is not None, "it would wait forever"
                return super().result(timeout)

        answers = {name: Answer() for name in names}
        for answer in answers.values():
            answer.set_result(SimpleNamespace(authorized_operations=operations))
        return answers


def test_a_client_that_is_asked_about_a_group_is_kept_until_it_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Cluster, "_new_admin", lambda _: Admin())
    monkeypatch.setattr(Cluster, "new_admin_of_living", lambda _: LivingAdmin("DESCRIBE"))
    cluster = Cluster(KafkaSettings(bootstrap_servers="127.0.0.1:1"))
    needed = [Right("READ", "group", "energy-v1"), Right("DESCRIBE", "group", "energy-v1")]
    assert cluster.lacking(needed) == needed[:1]
