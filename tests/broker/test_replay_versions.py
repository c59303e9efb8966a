"""The life of the next view version on a real cluster: begun, compared, promoted, dropped."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from confluent_kafka import Producer, TopicPartition

from contract.device_totals import DEVICE_TOTALS
from contract.errors import SettingError
from contract.topics import READINGS, VIEWS, app_id
from contract.view_versions import Views, ViewVersion
from contract.views import rules_with
from kafka_io.cluster_changes import ClusterAdmin
from kafka_io.log_reader import read_views
from operations.bootstrap import prepare
from operations.errors import Refused
from operations.replay import drop as removal
from operations.replay.begin import Wanted, begin
from operations.replay.comparison import compare, digest
from operations.replay.positions import ReplayPartition, read_replay
from operations.replay.promotion import GateShut, Promoted, behind, promote
from operations.status import read_status
from operations.topics.declared import check
from operations.views import adoption
from operations.views.birth import read_births
from tests.api_doubles import transaction
from tests.broker.own_cluster import SettingsFactory
from tests.kafka import ANSWER_SECONDS, Kafka, TransactionalWriter

Totals = dict[str, tuple[int, int]]


def apply(kafka: Kafka, version: int, offset: int, totals: Totals, partition: int = 0) -> None:
    """What a worker of that version commits."""
    identity = DEVICE_TOTALS.transactional_id(version, partition)
    writer = TransactionalWriter(kafka, DEVICE_TOTALS.changelog(version).name, identity)
    writer.write(transaction(totals, offset), partition=partition)


def states(cluster: ClusterAdmin) -> dict[int, str]:
    return {n: v.state for n, v in read_views(cluster.settings).versions.items()}


@pytest.fixture
def begun(cluster: ClusterAdmin, settings_factory: SettingsFactory) -> ViewVersion:
    """Version 1 live, version 2 being built."""
    prepare(cluster, settings_factory())
    version, is_new = begin(cluster, settings_factory(), Wanted())
    assert is_new
    return version


def test_a_start_makes_the_next_version_and_a_second_one_goes_on_with_it(
    cluster: ClusterAdmin, begun: ViewVersion, settings_factory: SettingsFactory
) -> None:
    assert states(cluster) == {1: "live", 2: "building"}
    assert check(cluster, settings_factory()) == [], "its topic is as declared"
    again, is_new = begin(cluster, settings_factory(), Wanted("earliest"))
    assert (again, is_new) == (begun, False)


def test_of_terminals_at_the_same_time_all_build_one_version(
    cluster: ClusterAdmin, settings_factory: SettingsFactory
) -> None:
    prepare(cluster, settings_factory())
    found: list[tuple[int, bool]] = []
    barrier = threading.Barrier(3)

    def terminal() -> None:
        own = ClusterAdmin(settings_factory())
        barrier.wait()
        version, is_new = begin(own, settings_factory(), Wanted())
        found.append((version.view_version, is_new))

    threads = [threading.Thread(target=terminal) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [(2, False), (2, False), (2, True)]


def test_a_later_start_says_what_it_leaves_out_and_must_be_accepted(
    cluster: ClusterAdmin, own_kafka: Kafka, settings_factory: SettingsFactory
) -> None:
    settings = settings_factory()
    prepare(cluster, settings)
    own_kafka.write(READINGS.name, [b"{}"] * 3)
    for begin_at in ("0:3", "2030-01-01T00:00:00Z"):
        with pytest.raises(Refused, match=r"a later start: .* 0:0-2; --accept-partial"):
            begin(cluster, settings, Wanted(begin_at))
    assert states(cluster) == {1: "live"}, "nothing was begun"
    version, _ = begin(cluster, settings, Wanted("2030-01-01", accept_partial=True))
    births = read_births(cluster, DEVICE_TOTALS, version.view_version, 2)
    assert {p: birth.start_offset for p, birth in births.items()} == {0: 3, 1: 0}
    with pytest.raises(Refused, match="being built from 0:3,1:0; `energy replay abort`"):
        begin(cluster, settings, Wanted("earliest"))


def test_a_log_without_its_head_must_be_accepted(
    cluster: ClusterAdmin, own_kafka: Kafka, settings_factory: SettingsFactory
) -> None:
    settings = settings_factory()
    prepare(cluster, settings)
    own_kafka.write(READINGS.name, [b"{}"] * 5, partition=1)
    admin = own_kafka.admin()
    for done in admin.delete_records([TopicPartition(READINGS.name, 1, 4)]).values():
        done.result(ANSWER_SECONDS)
    with pytest.raises(Refused, match=r"head of the log is gone: .* 1:0-3"):
        begin(cluster, settings, Wanted())
    assert begin(cluster, settings, Wanted(accept_partial=True))[1]


def test_a_start_that_cannot_be_is_wrong_use(
    cluster: ClusterAdmin, settings_factory: SettingsFactory
) -> None:
    prepare(cluster, settings_factory())
    for begin_at in ("yesterday", "0:7", "9:0", "0:1,", "0:-1"):
        with pytest.raises(SettingError, match="--from"):
            begin(cluster, settings_factory(), Wanted(begin_at, accept_partial=True))


def test_the_gate_is_shut_while_a_partition_is_behind(
    cluster: ClusterAdmin, own_kafka: Kafka, begun: ViewVersion
) -> None:
    apply(own_kafka, 1, 9, {"a": (1, 1)})
    apply(own_kafka, 1, 4, {"b": (1, 1)}, partition=1)
    apply(own_kafka, 2, 9, {"a": (1, 1)})
    assert [
        far.partition
        for far in behind(cluster, *(ViewVersion(n, "live", 2, rules_with("off")) for n in (1, 2)))
    ] == [1]
    with pytest.raises(GateShut, match=r"5 records behind .*partition 1 is at -1, live at 4"):
        promote(cluster, 1, 2, 0)
    assert states(cluster) == {1: "live", 2: "building"}
    late = threading.Timer(0.3, apply, (own_kafka, 2, 4, {"b": (1, 1)}, 1))
    late.start()
    assert promote(cluster, 1, 2, 20) == Promoted(2, 1, True, [], [])
    late.join()
    assert states(cluster) == {1: "previous", 2: "live"}


def test_x33_promoted_from_terminals_at_the_same_time_there_is_one_outcome(
    cluster: ClusterAdmin, own_kafka: Kafka, begun: ViewVersion, settings_factory: SettingsFactory
) -> None:
    found: list[Promoted] = []
    barrier = threading.Barrier(3)

    def terminal() -> None:
        own = ClusterAdmin(settings_factory())
        barrier.wait()
        found.append(promote(own, 1, 2, 5))

    threads = [threading.Thread(target=terminal) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done.was_written for done in found) == [False, False, True]
    assert {done.view_version for done in found} == {2}
    pointers = [r for r in own_kafka.read(VIEWS.name) if r.key() == b"live"]
    assert len(pointers) == 2, "one of the birth, one of the promotion"


def test_back_passes_the_same_gate_and_the_next_promotion_drops_the_oldest(
    cluster: ClusterAdmin, own_kafka: Kafka, begun: ViewVersion, settings_factory: SettingsFactory
) -> None:
    promote(cluster, 1, 2, 0)
    apply(own_kafka, 2, 7, {"a": (1, 1)})
    with pytest.raises(GateShut):
        promote(cluster, 2, 1, 0)
    apply(own_kafka, 1, 7, {"a": (1, 1)})
    assert promote(cluster, 2, 1, 0).was_written
    assert states(cluster) == {1: "live", 2: "previous"}
    third, _ = begin(cluster, settings_factory(), Wanted())
    apply(own_kafka, 3, 7, {"a": (1, 1)})
    assert promote(cluster, 1, third.view_version, 0) == Promoted(3, 1, True, [2], [])
    assert states(cluster) == {1: "previous", 2: "dropped", 3: "live"}


def test_what_was_dropped_or_overtaken_meanwhile_is_not_promoted(
    cluster: ClusterAdmin, begun: ViewVersion, tmp_path: Path, settings_factory: SettingsFactory
) -> None:
    removal.drop(cluster, tmp_path, 2)
    with pytest.raises(Refused, match="version 2 has been dropped"):
        promote(cluster, 1, 2, 0)
    third, _ = begin(cluster, settings_factory(), Wanted())
    assert third.view_version == 3, "a number is never used again"
    promote(cluster, 1, 3, 0)
    with pytest.raises(Refused, match="version 3 is live now"):
        removal.drop(cluster, tmp_path, 3)


def test_x34_a_dropped_version_leaves_nothing(
    cluster: ClusterAdmin, own_kafka: Kafka, begun: ViewVersion, tmp_path: Path
) -> None:
    before = own_kafka.admin().list_topics(timeout=10).topics.keys() - {
        DEVICE_TOTALS.changelog(2).name
    }
    for name in ("replay-v2/worker-0", "worker-0/energy-v2", "worker-0/energy-v1", "kept-v2"):
        (tmp_path / name).mkdir(parents=True)
    group = own_kafka.consumer(group_id=app_id(2))
    group.commit(offsets=[TopicPartition(READINGS.name, 0, 0)], asynchronous=False)
    group.close()
    open_one = Producer(
        {
            "bootstrap.servers": own_kafka.bootstrap_servers,
            "transactional.id": DEVICE_TOTALS.transactional_id(2, 0),
        }
    )
    open_one.init_transactions(ANSWER_SECONDS)
    open_one.begin_transaction()
    open_one.produce(READINGS.name, b"an open transaction of it", None, 0)
    open_one.flush(ANSWER_SECONDS)

    removal.drop(cluster, tmp_path, 2)
    assert own_kafka.admin().list_topics(timeout=10).topics.keys() == before
    groups = own_kafka.admin().list_consumer_groups().result(ANSWER_SECONDS).valid
    assert app_id(2) not in [each.group_id for each in groups]
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.glob("*/*"))
    assert left == ["worker-0/energy-v1"]
    ends = cluster.end_offsets(READINGS.name, 2)
    assert cluster.end_offsets(READINGS.name, 2, committed=True) == ends, "nothing hides the end"
    assert removal.leftovers(cluster, tmp_path, read_views(cluster.settings)) == []
    removal.drop(cluster, tmp_path, 2)  # again: what is gone is no error


def test_what_an_interrupted_abort_left_is_found(
    cluster: ClusterAdmin, begun: ViewVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(removal, "remove", interrupted)
        with pytest.raises(KeyboardInterrupt):
            removal.drop(cluster, tmp_path, 2)
    assert removal.leftovers(cluster, tmp_path, read_views(cluster.settings)) == [2]


def test_ops_b11_a_topic_that_was_never_born_into_is_told_from_one_with_totals(
    cluster: ClusterAdmin,
    own_kafka: Kafka,
    begun: ViewVersion,
    tmp_path: Path,
    settings_factory: SettingsFactory,
) -> None:
    removal.drop(cluster, tmp_path, 2)
    own_kafka.create_topic(DEVICE_TOTALS.changelog(5).name, 2, DEVICE_TOTALS.changelog(5).configs)
    own_kafka.create_topic(DEVICE_TOTALS.changelog(4).name)
    apply(own_kafka, 4, 7, {"a": (1, 1)})
    views = read_views(cluster.settings)
    assert adoption.unknown_versions(cluster, views) == {4: True, 5: False}
    third, _ = begin(cluster, settings_factory(), Wanted())
    assert third.view_version == 5, "beyond the number of totals that energy_views has lost"


def test_status_tells_how_far_the_next_version_is(
    cluster: ClusterAdmin, own_kafka: Kafka, begun: ViewVersion, settings_factory: SettingsFactory
) -> None:
    assert read_replay(cluster, Views(1)) is None
    own_kafka.write(READINGS.name, [b"{}"] * 10)
    apply(own_kafka, 2, 3, {"a": (1, 1)})
    found = read_status(cluster, settings_factory(), 0).replay
    assert found.version == 2
    assert found.partitions == [ReplayPartition(0, 0, 4, 10), ReplayPartition(1, 0, 0, 0)]


def test_differences_are_those_at_one_offset(
    cluster: ClusterAdmin, own_kafka: Kafka, begun: ViewVersion, tmp_path: Path
) -> None:
    for version in (1, 2):
        apply(own_kafka, version, 5, {"a": (10, 2), "b": (7, 1)})
        apply(own_kafka, version, 5, {"a": (1, 1)}, partition=1)
    assert compare(cluster, tmp_path, DEVICE_TOTALS, (1, 2), 2).devices == 0
    assert digest(cluster, DEVICE_TOTALS, 1, 2) == digest(cluster, DEVICE_TOTALS, 2, 2)
    apply(own_kafka, 1, 8, {"a": (12, 3)})
    apply(own_kafka, 1, 9, {"a": (20, 4)})
    apply(own_kafka, 2, 8, {"a": (11, 3), "c": (5, 1)})
    later = threading.Timer(0.3, apply, (own_kafka, 2, 9, {"a": (19, 4), "b": (6, 1)}))
    later.start()
    found = compare(cluster, tmp_path, DEVICE_TOTALS, (1, 2), 2)
    later.join()
    assert (found.devices, found.sum, found.readings) == (3, "3", 1)
    assert [(e.row["device_id"], e.live, e.following) for e in found.examples] == [
        ("a", "20", "19"),
        ("b", "7", "6"),
        ("c", None, "5"),
    ]
    assert digest(cluster, DEVICE_TOTALS, 1, 2) != digest(cluster, DEVICE_TOTALS, 2, 2)
