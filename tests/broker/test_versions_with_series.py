"""View versions that have two views: born, changed by a replay, grown, dropped, taken up again."""

from __future__ import annotations

from pathlib import Path

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import ConfigResource, ResourceType

from cli.commands.status import show
from contract.changelog import BIRTH_KEY, MARKER_KEY, Marker, decode_birth, encode_marker
from contract.device_totals import DEVICE_TOTALS
from contract.energy_series import ENERGY_SERIES
from contract.topics import READINGS, VIEWS
from contract.view import View
from contract.view_versions import ViewVersion
from kafka_io.cluster_changes import ClusterAdmin
from kafka_io.log_reader import read_views
from operations.bootstrap import prepare
from operations.errors import Refused
from operations.replay import drop as removal
from operations.replay.begin import Wanted, begin
from operations.replay.positions import ReplayPartition, read_replay
from operations.replay.promotion import GateShut, promote
from operations.status import PartitionStatus, ViewPartition, ViewStatus, read_status
from operations.topics.declared import check, create
from operations.topics.more_partitions import grow
from operations.views import adoption
from operations.views.birth import read_births, verify_births
from tests.broker.own_cluster import SettingsFactory
from tests.kafka import ANSWER_SECONDS, Kafka, TransactionalWriter, wait_until

VIEWS_OF_ALL = (DEVICE_TOTALS, ENERGY_SERIES)
TOTALS, SERIES = (view.changelog(1).name for view in VIEWS_OF_ALL)


def advance(kafka: Kafka, view: View, version: int, offset: int, partition: int = 0) -> None:
    """An empty commit of a view."""
    identity = view.transactional_id(version, partition)
    writer = TransactionalWriter(kafka, view.changelog(version).name, identity)
    writer.write([(MARKER_KEY, encode_marker(Marker(offset)))], partition=partition)


@pytest.fixture
def with_series(settings_factory: SettingsFactory) -> SettingsFactory:
    """Settings with ENERGY_SERIES=on."""
    return lambda **overrides: settings_factory(ENERGY_SERIES="on", **overrides)


@pytest.fixture
def live(cluster: ClusterAdmin, with_series: SettingsFactory) -> ViewVersion:
    """Version 1 is live and has the series."""
    prepare(cluster, with_series())
    return read_views(cluster.settings).versions[1]


def test_both_views_are_born_at_once_under_rules_that_say_so(
    cluster: ClusterAdmin, own_kafka: Kafka, live: ViewVersion, settings_factory: SettingsFactory
) -> None:
    assert live == ViewVersion(1, "live", 2, "2")
    topics = cluster.topics([READINGS.name, TOTALS, SERIES])
    for name in (TOTALS, SERIES):
        for partition in range(2):
            birth, marker = [r for r in own_kafka.read(name) if r.partition() == partition]
            born = decode_birth(birth.value() or b"")
            assert (birth.key(), marker.key()) == (BIRTH_KEY, MARKER_KEY)
            assert (born.rules_id, born.changelog_topic_id) == ("2", topics[name].topic_id)
    for series in ("on", "off"):
        again = prepare(cluster, settings_factory(ENERGY_SERIES=series))
        assert (again.created, again.is_born_now, again.differences) == ([], False, [])


def test_the_series_has_the_configs_of_the_totals(
    own_kafka: Kafka, live: ViewVersion, cluster: ClusterAdmin, with_series: SettingsFactory
) -> None:
    assert check(cluster, with_series()) == []
    asked = [ConfigResource(ResourceType.TOPIC, name) for name in (TOTALS, SERIES)]
    admin = own_kafka.admin()
    found = admin.describe_configs(asked).values()
    totals, series = ({n: c.value for n, c in done.result().items()} for done in found)
    assert totals == series
    assert totals["cleanup.policy"] == "compact"


def test_a_series_that_is_gone_or_made_again_is_refused(
    cluster: ClusterAdmin, own_kafka: Kafka, live: ViewVersion, with_series: SettingsFactory
) -> None:
    own_kafka.delete_topic(SERIES)
    wait_until(lambda: SERIES not in cluster.topic_names(), "the series is deleted")
    with pytest.raises(Refused, match=f"{SERIES} is gone"):
        prepare(cluster, with_series())
    own_kafka.create_topic(SERIES, partitions=2)
    with pytest.raises(Refused, match=f"{SERIES} was deleted and created again"):
        verify_births(cluster, live)


def test_a_version_without_the_series_gets_it_by_a_replay(
    cluster: ClusterAdmin, own_kafka: Kafka, settings_factory: SettingsFactory
) -> None:
    settings = settings_factory(ENERGY_SERIES="off")
    prepare(cluster, settings)
    assert SERIES not in cluster.topic_names()
    version, is_new = begin(cluster, settings, Wanted(series="on"))
    assert (is_new, version) == (True, ViewVersion(2, "building", 2, "2"))
    assert check(cluster, settings) == []
    own_kafka.write(READINGS.name, [b"{}"] * 10)
    # The gate looks at what both have; how far it is, at all that the new one has.
    advance(own_kafka, DEVICE_TOTALS, 1, 9)
    advance(own_kafka, DEVICE_TOTALS, 2, 9)
    advance(own_kafka, ENERGY_SERIES, 2, 3)
    found = read_replay(cluster, read_views(cluster.settings))
    assert found.partitions == [ReplayPartition(0, 0, 4, 10), ReplayPartition(1, 0, 0, 0)]
    assert promote(cluster, 1, 2, 0).was_written


def test_the_gate_is_shut_while_the_series_is_behind(
    cluster: ClusterAdmin, own_kafka: Kafka, live: ViewVersion, with_series: SettingsFactory
) -> None:
    begin(cluster, with_series(), Wanted())
    for number in (1, 2):
        advance(own_kafka, DEVICE_TOTALS, number, 9)
    advance(own_kafka, ENERGY_SERIES, 1, 9)
    advance(own_kafka, ENERGY_SERIES, 2, 4)
    with pytest.raises(GateShut, match="partition 0 is at 4, live at 9"):
        promote(cluster, 1, 2, 0)
    advance(own_kafka, ENERGY_SERIES, 2, 9)
    assert promote(cluster, 1, 2, 0).was_written


def test_partitions_are_added_to_both_views(
    cluster: ClusterAdmin, live: ViewVersion, with_series: SettingsFactory
) -> None:
    done = grow(cluster, 3)
    assert {TOTALS, SERIES, READINGS.name} <= set(done.topics)
    assert check(cluster, with_series(ENERGY_PARTITIONS="3")) == []
    for view in VIEWS_OF_ALL:
        births = read_births(cluster, view, 1, 3)
        assert [births[p].rules_id for p in range(3)] == ["2"] * 3


@pytest.mark.parametrize("series", ["on", "off"])
def test_x34_a_dropped_version_leaves_nothing_of_either_view(
    cluster: ClusterAdmin,
    live: ViewVersion,
    tmp_path: Path,
    with_series: SettingsFactory,
    series: str,
) -> None:
    before = cluster.topic_names()
    begin(cluster, with_series(), Wanted(series="on" if series == "on" else "off"))
    added = {view.changelog(2).name for view in VIEWS_OF_ALL[: 2 if series == "on" else 1]}
    assert cluster.topic_names() == before | added
    removal.drop(cluster, tmp_path, 2)
    assert cluster.topic_names() == before
    assert removal.leftovers(cluster, tmp_path, read_views(cluster.settings)) == []


def test_ops_b6_both_views_are_taken_up_again(
    cluster: ClusterAdmin, own_kafka: Kafka, live: ViewVersion, settings_factory: SettingsFactory
) -> None:
    """Also by whoever would not give birth to the series."""
    own_kafka.delete_topic(VIEWS.name)
    wait_until(lambda: VIEWS.name not in cluster.topic_names(), "energy_views is deleted")
    settings = settings_factory(ENERGY_SERIES="off")
    with pytest.raises(Refused, match=rf"{TOTALS} \(.*\), {SERIES} \(.*--adopt 1$"):
        prepare(cluster, settings)
    assert prepare(cluster, settings, adopting=1).view_version == 1
    assert read_views(cluster.settings).versions == {1: live}


def test_ops_b6_a_version_is_not_taken_up_without_its_series(
    cluster: ClusterAdmin, own_kafka: Kafka, live: ViewVersion, with_series: SettingsFactory
) -> None:
    for name in (VIEWS.name, SERIES):
        own_kafka.delete_topic(name)
    wait_until(lambda: not {VIEWS.name, SERIES} & cluster.topic_names(), "both are deleted")
    with pytest.raises(Refused, match=f"there is no topic {SERIES}: view version 1 is incomplete"):
        create(cluster, with_series(), adopting=1)


def test_ops_b11_a_series_that_was_never_born_into_is_found(
    cluster: ClusterAdmin, own_kafka: Kafka, live: ViewVersion
) -> None:
    own_kafka.create_topic(ENERGY_SERIES.changelog(5).name, 2)
    assert adoption.unknown_versions(cluster, read_views(cluster.settings)) == {5: False}
    assert list(adoption.changelogs_of(cluster, 5)) == [ENERGY_SERIES]


def test_status_tells_how_far_each_view_is(
    cluster: ClusterAdmin,
    own_kafka: Kafka,
    live: ViewVersion,
    with_series: SettingsFactory,
    capsys: pytest.CaptureFixture[str],
) -> None:
    own_kafka.write(READINGS.name, [b"{}"] * 10)
    advance(own_kafka, DEVICE_TOTALS, 1, 7)
    advance(own_kafka, ENERGY_SERIES, 1, 4)
    found = read_status(cluster, with_series(), 0)
    assert found.partitions[0] == PartitionStatus(0, 10, 7, 2, None)
    assert found.views == [
        ViewStatus(
            "device_totals", TOTALS, [ViewPartition(0, 7, 2, 0), ViewPartition(1, -1, 0, 0)]
        ),
        ViewStatus(
            "energy_series", SERIES, [ViewPartition(0, 4, 5, 3), ViewPartition(1, -1, 0, 0)]
        ),
    ]
    show(found)
    assert (
        f"energy_series ({SERIES}): applied up to partition:offset 0:4,1:-1, 3 records behind the"
        " totals\n"
    ) in capsys.readouterr().out
    # Readings that the totals have and the series has not are read from the log again.
    admin = own_kafka.admin()
    for done in admin.delete_records([TopicPartition(READINGS.name, 0, 7)]).values():
        done.result(ANSWER_SECONDS)
    lost = [text for text in read_status(cluster, with_series(), 0).problems if "5-6" in text]
    assert len(lost) == 1


def test_status_names_a_series_that_was_made_again(
    cluster: ClusterAdmin, own_kafka: Kafka, live: ViewVersion, with_series: SettingsFactory
) -> None:
    own_kafka.delete_topic(SERIES)
    wait_until(lambda: SERIES not in cluster.topic_names(), "the series is deleted")
    problems = read_status(cluster, with_series(), 0).problems
    assert f"{SERIES}: the topic does not exist" in problems
    own_kafka.create_topic(SERIES, partitions=2)
    problems = read_status(cluster, with_series(), 0).problems
    assert any(f"{SERIES} was deleted and created again" in text for text in problems)
    for partition in range(2):
        assert (
            f"partition {partition}: no marker in {SERIES}, none of its readings is counted"
            in problems
        )
    assert not [text for text in problems if f"no marker in {TOTALS}" in text]
