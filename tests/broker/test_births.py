"""The birth of a view version: once, whole, and never over totals that exist."""

import threading

import pytest
from confluent_kafka import Producer, TopicPartition

from contract.changelog import (
    BIRTH_KEY,
    MARKER_KEY,
    Marker,
    decode_birth,
    decode_marker,
)
from contract.device_totals import DEVICE_TOTALS
from contract.topics import READINGS, VIEWS, views_transactional_id
from contract.view_versions import ViewVersion
from contract.views import rules_with
from kafka_io.cluster_changes import ClusterAdmin
from kafka_io.log_reader import read_views
from operations.bootstrap import prepare
from operations.errors import Refused
from operations.topics.declared import create, create_changelogs
from operations.views import birth as births
from operations.views.birth import ensure_first_view, plan
from tests.broker.own_cluster import SettingsFactory
from tests.kafka import ANSWER_SECONDS, Kafka, wait_until

RULES = rules_with("off")
TABLE = DEVICE_TOTALS.changelog(1).name


def test_birth_comes_first_and_marker_last_in_each_partition(
    cluster: ClusterAdmin, own_kafka: Kafka, settings_factory: SettingsFactory
) -> None:
    done = prepare(cluster, settings_factory())
    assert (done.view_version, done.is_born_now) == (1, True)
    topics = cluster.topics([READINGS.name, TABLE])
    for partition in range(2):
        birth, marker = [r for r in own_kafka.read(TABLE) if r.partition() == partition]
        assert birth.key() == BIRTH_KEY
        assert marker.key() == MARKER_KEY
        born = decode_birth(birth.value() or b"")
        assert born.cluster_id == cluster.cluster_id()
        assert born.source_topic == READINGS.name
        assert born.source_topic_id == topics[READINGS.name].topic_id
        assert born.changelog_topic_id == topics[TABLE].topic_id
        assert (born.start_offset, born.rules_id) == (0, RULES)
        assert decode_marker(marker.value() or b"") == Marker(-1)


def test_a_second_call_finds_the_first_ones_view(
    cluster: ClusterAdmin, own_kafka: Kafka, settings_factory: SettingsFactory
) -> None:
    prepare(cluster, settings_factory())
    before = own_kafka.end_offsets(TABLE)
    done = prepare(cluster, settings_factory())
    assert (done.view_version, done.is_born_now) == (1, False)
    assert own_kafka.end_offsets(TABLE) == before


def test_of_terminals_at_the_same_time_one_gives_birth(
    cluster: ClusterAdmin, own_kafka: Kafka, settings_factory: SettingsFactory
) -> None:
    create(cluster, settings_factory())
    terminals = 4
    barrier = threading.Barrier(terminals)
    outcomes: list[bool] = []

    def terminal() -> None:
        own = ClusterAdmin(settings_factory())
        barrier.wait()
        views, written = ensure_first_view(own, 1, rules_id=RULES)
        assert views.live == 1
        outcomes.append(written)

    threads = [threading.Thread(target=terminal) for _ in range(terminals)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == [False, False, False, True]
    keys = [(record.partition(), record.key()) for record in own_kafka.read(TABLE)]
    assert sorted(keys) == sorted((p, k) for p in range(2) for k in (BIRTH_KEY, MARKER_KEY))
    assert [record.key() for record in own_kafka.read(VIEWS.name)] == [b"version/1", b"live"]


def test_a_terminal_that_died_in_its_transaction_is_fenced(
    cluster: ClusterAdmin, own_kafka: Kafka, settings_factory: SettingsFactory
) -> None:
    create(cluster, settings_factory())
    dead = Producer(
        {
            "bootstrap.servers": own_kafka.bootstrap_servers,
            "transactional.id": views_transactional_id(),
        }
    )
    dead.init_transactions(ANSWER_SECONDS)
    dead.begin_transaction()
    dead.produce(TABLE, b"half a birth", BIRTH_KEY, 0)
    dead.flush(ANSWER_SECONDS)
    views, written = ensure_first_view(cluster, 1, rules_id=RULES)
    assert (views.live, written) == (1, True)
    assert b"half a birth" not in [record.value() for record in own_kafka.read(TABLE)]


def test_ops_b6_a_changelog_with_totals_is_not_born_again_but_taken_up(
    cluster: ClusterAdmin, own_kafka: Kafka, settings_factory: SettingsFactory
) -> None:
    prepare(cluster, settings_factory())
    own_kafka.delete_topic(VIEWS.name)
    wait_until(lambda: VIEWS.name not in cluster.topic_names(), "energy_views is deleted")
    before = own_kafka.end_offsets(TABLE)
    with pytest.raises(
        Refused, match=r"keep these topics.* energy topics create --adopt 1"
    ) as told:
        prepare(cluster, settings_factory())
    assert "delete" not in str(told.value)
    assert VIEWS.name not in cluster.topic_names(), "nothing is made before it is decided"
    with pytest.raises(Refused, match=r"there is no topic energy-v7-.*: .* 7 is incomplete"):
        prepare(cluster, settings_factory(), adopting=7)
    done = prepare(cluster, settings_factory(), adopting=1)
    assert (done.created, done.view_version, done.is_born_now) == ([VIEWS.name], 1, False)
    assert own_kafka.end_offsets(TABLE) == before, "its totals are as they were"
    assert read_views(cluster.settings).versions == {1: ViewVersion(1, "live", 2, RULES)}
    assert prepare(cluster, settings_factory(), adopting=1).view_version == 1, "again: no change"


@pytest.mark.parametrize("name", [READINGS.name, TABLE])
def test_x45_a_topic_made_again_behind_the_view_is_refused(
    cluster: ClusterAdmin, own_kafka: Kafka, settings_factory: SettingsFactory, name: str
) -> None:
    prepare(cluster, settings_factory())
    topic = READINGS if name == READINGS.name else DEVICE_TOTALS.changelog(1)
    own_kafka.delete_topic(name)
    wait_until(lambda: name not in cluster.topic_names(), f"{name} is deleted")
    own_kafka.create_topic(name, partitions=2, configs=topic.configs)
    with pytest.raises(Refused, match=f"{name} was deleted and created again") as refused:
        ensure_first_view(cluster, 1, rules_id=RULES)
    assert refused.value.exit_code == 3


def test_a_log_without_its_head_is_refused_unless_accepted(
    cluster: ClusterAdmin, own_kafka: Kafka, settings_factory: SettingsFactory
) -> None:
    create(cluster, settings_factory())
    own_kafka.write(READINGS.name, [b"a", b"b", b"c"], partition=1)
    admin = own_kafka.admin()
    for done in admin.delete_records([TopicPartition(READINGS.name, 1, 2)]).values():
        done.result(ANSWER_SECONDS)
    with pytest.raises(Refused, match=r"head of energy_consumption .* 1:0-1"):
        ensure_first_view(cluster, 1, rules_id=RULES)
    _, written = ensure_first_view(cluster, 1, rules_id=RULES, accept_partial=True)
    assert written
    starts = {
        p: born.start_offset for p, born in births.read_births(cluster, DEVICE_TOTALS, 1, 2).items()
    }
    assert starts == {0: 0, 1: 2}
    markers = [r for r in own_kafka.read(TABLE) if r.key() == MARKER_KEY and r.partition() == 1]
    assert [decode_marker(record.value() or b"") for record in markers] == [Marker(1)]


def test_a_building_version_leaves_the_pointer_alone(
    cluster: ClusterAdmin, settings_factory: SettingsFactory
) -> None:
    prepare(cluster, settings_factory())
    version = ViewVersion(2, "building", 2, RULES)
    create_changelogs(cluster, settings_factory(), version)
    views, written = births.give_birth(cluster, plan(cluster, version, [3, 4]))
    assert written
    assert views.live == 1
    assert views.versions[2] == version
