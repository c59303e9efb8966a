"""`energy topics`: what is made, what is left alone, what is named."""

import pytest
from confluent_kafka.admin import ConfigResource, NewPartitions, ResourceType

from contract.device_totals import DEVICE_TOTALS
from contract.errors import SettingError
from contract.topics import IMPORTS, QUARANTINE, READINGS, VIEWS
from kafka_io.cluster import Cluster
from kafka_io.cluster_changes import ClusterAdmin
from kafka_io.errors import ConfigRefused, NoBroker
from local_stack.ports import free_port
from operations.bootstrap import prepare
from operations.errors import Refused
from operations.settings import TopicSettings
from operations.topics.creation import Declared, make_topics
from operations.topics.declared import Difference, check, create
from tests.broker.own_cluster import SettingsFactory
from tests.kafka import Kafka

ALL = {READINGS.name, QUARANTINE.name, VIEWS.name, IMPORTS.name, DEVICE_TOTALS.changelog(1).name}


def test_an_empty_cluster_gets_every_topic_as_declared(
    cluster: Cluster, own_kafka: Kafka, settings_factory: SettingsFactory
) -> None:
    outcome = create(cluster, settings_factory())
    assert set(outcome.created) == ALL
    assert outcome.differences == []
    assert check(cluster, settings_factory()) == []
    # What a foreign client sees, not what we would like to have asked for.
    admin = own_kafka.admin()
    found = admin.list_topics(timeout=10).topics
    partitions = {name: len(found[name].partitions) for name in ALL}
    assert partitions == dict.fromkeys(ALL, 2) | {VIEWS.name: 1, IMPORTS.name: 1}
    configs = admin.describe_configs([ConfigResource(ResourceType.TOPIC, READINGS.name)])
    (readings,) = [done.result() for done in configs.values()]
    assert readings["retention.ms"].value == "-1"
    assert readings["cleanup.policy"].value == "delete"
    configs = admin.describe_configs([ConfigResource(ResourceType.TOPIC, QUARANTINE.name)])
    (quarantine,) = [done.result() for done in configs.values()]
    assert quarantine["message.timestamp.type"].value == "LogAppendTime"


def test_a_topic_is_made_without_what_the_cluster_refuses_if_totals_need_none_of_it(
    cluster: ClusterAdmin, own_kafka: Kafka
) -> None:
    # Kafka has a smallest segment, as managed clusters have a larger one.
    configs = {"cleanup.policy": "compact", "segment.bytes": "1", "min.insync.replicas": "1"}
    topics = [Declared("small", 1, 1, configs, {}), Declared("usual", 1, 1, {}, {})]
    assert make_topics(cluster, topics) == {"small", "usual"}
    made = cluster.configs(["small"])["small"]
    assert (made["cleanup.policy"], made["segment.bytes"]) == ("compact", "1073741824")
    wrong = Declared("wrong", 1, 1, {"cleanup.policy": "forget"}, {})
    with pytest.raises(ConfigRefused, match=r"wrong: .*cleanup\.policy"):
        make_topics(cluster, [wrong])


def test_what_only_new_topics_are_made_with_is_no_difference(
    cluster: Cluster, own_kafka: Kafka, settings_factory: SettingsFactory
) -> None:
    own_kafka.create_topic(QUARANTINE.name, partitions=2, configs=QUARANTINE.configs)
    assert create(cluster, settings_factory()).differences == []


def test_creating_again_changes_nothing(
    cluster: Cluster, settings_factory: SettingsFactory
) -> None:
    create(cluster, settings_factory())
    before = cluster.topics(ALL)
    outcome = create(cluster, settings_factory())
    assert outcome.created == []
    assert cluster.topics(ALL) == before


def test_s11_other_partitions_are_named_and_nothing_is_made(
    cluster: Cluster, own_kafka: Kafka, settings_factory: SettingsFactory
) -> None:
    own_kafka.create_topic(READINGS.name, partitions=3, configs=READINGS.configs)
    done = prepare(cluster, settings_factory())
    assert done.created == []
    assert done.view_version is None
    assert Difference(READINGS.name, "partitions", "2", "3") in done.differences


def test_another_config_is_named_and_left_alone(
    cluster: Cluster, own_kafka: Kafka, settings_factory: SettingsFactory
) -> None:
    own_kafka.create_topic(
        READINGS.name, partitions=2, configs=READINGS.configs | {"retention.ms": "604800000"}
    )
    expected = Difference(READINGS.name, "retention.ms", "-1", "604800000")
    assert expected in create(cluster, settings_factory()).differences
    assert expected in check(cluster, settings_factory())


def test_x28_added_partitions_are_named(
    cluster: Cluster, own_kafka: Kafka, settings_factory: SettingsFactory
) -> None:
    prepare(cluster, settings_factory())
    admin = own_kafka.admin()
    grown = admin.create_partitions([NewPartitions(READINGS.name, 4)])
    grown[READINGS.name].result(10)
    assert check(cluster, settings_factory()) == [Difference(READINGS.name, "partitions", "2", "4")]


def test_a_missing_topic_is_named_by_check(
    cluster: Cluster, settings_factory: SettingsFactory
) -> None:
    assert {row.topic for row in check(cluster, settings_factory()) if row.found is None} == ALL


def test_s12_more_copies_than_brokers_are_refused(
    cluster: Cluster, settings_factory: SettingsFactory
) -> None:
    with pytest.raises(SettingError, match=r"ENERGY_REPLICATION_FACTOR: must be at most 1"):
        create(cluster, settings_factory(ENERGY_REPLICATION_FACTOR="3"))


@pytest.mark.parametrize("name", [READINGS.name, DEVICE_TOTALS.changelog(1).name])
def test_x45_a_topic_behind_a_live_view_is_not_made_again(
    cluster: Cluster, own_kafka: Kafka, settings_factory: SettingsFactory, name: str
) -> None:
    prepare(cluster, settings_factory())
    own_kafka.delete_topic(name)
    with pytest.raises(Refused, match=f"{name} is gone"):
        prepare(cluster, settings_factory())
    assert name not in cluster.topic_names()


def test_no_broker_is_one_error_that_names_the_servers() -> None:
    port = free_port()
    settings = TopicSettings.load({"KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{port}"})
    with pytest.raises(NoBroker, match=f"no broker answers at 127.0.0.1:{port}"):
        check(Cluster(settings, deadline_seconds=1), settings)
