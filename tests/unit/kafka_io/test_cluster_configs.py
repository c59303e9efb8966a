"""The configs of several brokers: Kafka's client takes one broker at a time."""

from __future__ import annotations

import weakref
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import ConfigResource

from contract.kafka import KafkaSettings
from kafka_io.cluster import Cluster
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
