"""`energy status`: the truth, also when every worker is dead."""

import msgspec
from confluent_kafka import Consumer, TopicPartition

from contract.changelog import MARKER_KEY, Marker, encode_marker
from contract.device_totals import DEVICE_TOTALS, encode_total
from contract.topics import READINGS, app_id
from contract.views import rules_with, views_of
from kafka_io.cluster import Cluster
from operations.bootstrap import prepare
from operations.status import PartitionStatus, read_status
from operations.views.markers import read_markers
from tests.broker.own_cluster import SettingsFactory
from tests.kafka import Kafka, TransactionalWriter, wait_until

TABLE = DEVICE_TOTALS.changelog(1).name
NOW_MS = 1_746_000_000_000


def commit(kafka: Kafka, partition: int, *markers: Marker, finally_abort: bool = False) -> None:
    """What a worker writes in one transaction (of which the last marker counts)."""
    records = [(MARKER_KEY, encode_marker(marker)) for marker in markers]
    writer = TransactionalWriter(kafka, TABLE)
    total = (b"device_7", encode_total(5, 1))
    writer.write([total, *records], partition=partition, is_aborted=finally_abort)
    kafka.settle(TABLE)


def test_before_the_first_view_it_says_what_to_run(
    cluster: Cluster, settings_factory: SettingsFactory
) -> None:
    found = read_status(cluster, settings_factory(), NOW_MS)
    assert found.view_version is None
    assert found.partitions == []
    assert "no view version is live yet; `energy topics create` creates the first" in found.problems


def test_a_new_view_has_nothing_behind_and_nobody_at_work(
    cluster: Cluster, settings_factory: SettingsFactory
) -> None:
    prepare(cluster, settings_factory())
    found = read_status(cluster, settings_factory(), NOW_MS)
    # As the contract has it, name by name.
    assert msgspec.to_builtins(found) == {
        "view_version": 1,
        "freshness_seconds": None,
        "partitions": [
            {
                "partition": partition,
                "end_offset": 0,
                "applied_offset": -1,
                "lag_records": 0,
                "owner": None,
            }
            for partition in range(2)
        ],
        "replay": None,
        "problems": [
            "partition 0: no worker owns it, 0 records are waiting",
            "partition 1: no worker owns it, 0 records are waiting",
        ],
        "views": [
            {
                "view": view.name,
                "topic": view.changelog(1).name,
                "partitions": [
                    {
                        "partition": partition,
                        "applied_offset": -1,
                        "lag_records": 0,
                        "behind_totals": 0,
                    }
                    for partition in range(2)
                ],
            }
            for view in views_of(rules_with("off"))
        ],
    }


def test_lag_and_freshness_come_from_the_newest_committed_marker(
    cluster: Cluster, own_kafka: Kafka, settings_factory: SettingsFactory
) -> None:
    prepare(cluster, settings_factory())
    own_kafka.write(READINGS.name, [b"{}"] * 10, partition=1)
    commit(own_kafka, 1, Marker(3, newest_ms=NOW_MS - 9_000))
    commit(own_kafka, 1, Marker(6, newest_ms=NOW_MS - 2_500))
    found = read_status(cluster, settings_factory(), NOW_MS)
    assert found.partitions[1] == PartitionStatus(1, 10, 6, 3, None)
    assert found.freshness_seconds == 2.5


def test_an_aborted_transaction_at_the_end_is_looked_behind(
    cluster: Cluster, own_kafka: Kafka, settings_factory: SettingsFactory
) -> None:
    prepare(cluster, settings_factory())
    commit(own_kafka, 0, Marker(6))
    for behind_the_end in (3, 100):
        commit(own_kafka, 0, *[Marker(999)] * behind_the_end, finally_abort=True)
    assert read_markers(cluster, DEVICE_TOTALS, 1, 2) == {0: Marker(6), 1: Marker(-1)}


def test_an_open_transaction_is_not_seen(
    cluster: Cluster, own_kafka: Kafka, settings_factory: SettingsFactory
) -> None:
    prepare(cluster, settings_factory())
    commit(own_kafka, 0, Marker(6))
    writer = TransactionalWriter(own_kafka, TABLE)
    writer.begin([(MARKER_KEY, encode_marker(Marker(99)))])
    assert read_markers(cluster, DEVICE_TOTALS, 1, 2)[0] == Marker(6)
    writer.end(is_aborted=True)


def test_the_owner_of_a_partition_is_named(
    cluster: Cluster, own_kafka: Kafka, settings_factory: SettingsFactory
) -> None:
    prepare(cluster, settings_factory())
    member: Consumer = own_kafka.consumer(group_id=app_id(1), client_id="worker-7")
    member.subscribe([READINGS.name])
    try:
        wait_until(
            lambda: member.poll(0.1) is None and len(member.assignment()) == 2,
            "the member has both partitions",
        )
        owners = cluster.owners(app_id(1))
        found = read_status(cluster, settings_factory(), NOW_MS)
    finally:
        member.close()
    assert set(owners) == {TopicPartition(READINGS.name, p) for p in range(2)}
    assert [p.owner for p in found.partitions] == ["worker-7@127.0.0.1"] * 2
    assert found.problems == []
