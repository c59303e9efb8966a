"""The start-up checks on a real cluster: what is refused, what is said and gone on with."""

import asyncio

import pytest
from confluent_kafka.admin import (
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from contract.device_totals import DEVICE_TOTALS
from contract.topics import READINGS
from kafka_io.cluster import Cluster
from operations.bootstrap import prepare
from operations.status import read_status
from stream_app.checks.preflight import examine
from stream_app.errors import Refusal
from stream_app.settings import WorkerSettings
from tests.broker.own_cluster import SettingsFactory
from tests.kafka import Kafka, wait_until


def alter(kafka: Kafka, topic: str, name: str, value: str) -> None:
    entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
    wanted = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    admin = kafka.admin()
    for done in admin.incremental_alter_configs([wanted]).values():
        done.result(10)
    asked = [ConfigResource(ResourceType.TOPIC, topic)]

    def now() -> str:
        (found,) = [done.result(10) for done in admin.describe_configs(asked).values()]
        return str(found[name].value)

    wait_until(lambda: now() == value, f"{name} is {value}")


@pytest.fixture
def worker(cluster: Cluster, own_kafka: Kafka, settings_factory: SettingsFactory) -> WorkerSettings:
    prepare(cluster, settings_factory())
    return WorkerSettings.load({"KAFKA_BOOTSTRAP_SERVERS": own_kafka.bootstrap_servers})


def test_a_cluster_as_declared_has_no_finding(worker: WorkerSettings) -> None:
    assert asyncio.run(examine(worker, Cluster(worker))).warnings == ()


@pytest.mark.parametrize("topic", [READINGS.name, DEVICE_TOTALS.changelog(1).name])
def test_unclean_leader_election_is_refused_and_in_the_status(
    worker: WorkerSettings, own_kafka: Kafka, settings_factory: SettingsFactory, topic: str
) -> None:
    alter(own_kafka, topic, "unclean.leader.election.enable", "true")
    words = f"{topic}: unclean.leader.election.enable is true"
    with pytest.raises(Refusal, match=words):
        asyncio.run(examine(worker, Cluster(worker)))
    problems = read_status(Cluster(worker), settings_factory(), 0).problems
    assert any(problem.startswith(words) for problem in problems)


def test_readings_that_are_deleted_by_age_are_a_warning(
    worker: WorkerSettings, own_kafka: Kafka
) -> None:
    alter(own_kafka, READINGS.name, "retention.ms", "604800000")
    (warning,) = asyncio.run(examine(worker, Cluster(worker))).warnings
    assert warning.startswith(f"{READINGS.name}: retention.ms is 604800000")
