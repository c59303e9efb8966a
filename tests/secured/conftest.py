"""The cluster of this tier: one for the run, with a user for each part."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import NewTopic

from tests.kafka import ANSWER_SECONDS
from tests.secured.acls import rights
from tests.secured.cluster import SecuredCluster

ARCHIVED = 500


def reading(device: str, energy: Any) -> dict[str, Any]:
    return {
        "timestamp": "2025-04-30 10:11:21",
        "device_id": device,
        "energy_consumed": energy,
        "location": "Attic",
    }


@pytest.fixture(scope="session")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredCluster]:
    """Three brokers that allow what deploy/kafka/acls.yaml says, and nothing else."""
    cluster = SecuredCluster(tmp_path_factory.mktemp("secured"))
    try:
        cluster.start()
        for user in {right.user for right in rights()}:
            cluster.set_password(user, f"first-password-of-{user}")
        cluster.allow(rights())
        yield cluster
    finally:
        cluster.kill()


@pytest.fixture(autouse=True)
def whole(secured: SecuredCluster) -> Iterator[None]:
    """Leave the next test all brokers, also where this one failed while one was lost."""
    yield
    secured.make_whole()


@pytest.fixture(scope="session")
def archive(secured: SecuredCluster) -> str:
    """A topic with readings of 0.25 of 7 devices, from another time."""
    topic = "meter_archive"
    made = secured.admin.create_topics([NewTopic(topic, 2, 3)])
    made[topic].result(ANSWER_SECONDS)
    producer = Producer(secured.client_config())
    for number in range(ARCHIVED):
        producer.produce(topic, json.dumps(reading(f"archived_{number % 7}", 0.25)))
    assert producer.flush(ANSWER_SECONDS) == 0
    return topic
