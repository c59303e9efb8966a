"""Readings of another topic, also of another cluster, copied once whatever is killed in between."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from confluent_kafka import TopicPartition

from contract.errors import SettingError
from contract.topics import IMPORTS, QUARANTINE, READINGS
from kafka_io.cluster_changes import ClusterAdmin
from operations.backfill import copy as backfilling
from operations.backfill import source as backfill_source
from operations.backfill.copy import BackfillOptions, Summary, backfill
from operations.errors import Refused
from operations.topics.declared import create
from producer.settings import ProducerSettings
from tests.broker.own_cluster import SettingsFactory
from tests.kafka import ANSWER_SECONDS, Kafka, TransactionalWriter


def reading(device: str, energy: object) -> bytes:
    return (
        f'{{"timestamp": "2025-04-30 10:11:21", "device_id": "{device}",'
        f' "energy_consumed": {energy}, "location": "Attic"}}'
    ).encode()


class Setting:
    """An archive on one cluster, the readings topic on another, or on the same one."""

    def __init__(
        self, source: Kafka, target: Kafka, settings: SettingsFactory, topic: str = "nothing"
    ) -> None:
        create(ClusterAdmin(settings()), settings())
        self.topic = topic
        self.source, self.target = source, target
        self.settings = ProducerSettings(bootstrap_servers=target.bootstrap_servers)

    def run(self, topic: str | None = None, **options: object) -> Summary:
        source = ClusterAdmin(ProducerSettings(bootstrap_servers=self.source.bootstrap_servers))
        chosen = BackfillOptions(topic or self.topic, **options)  # type: ignore[arg-type]
        return backfill(chosen, self.settings, source, lambda done, total: None)

    def copied(self) -> list[str]:
        """The numbers of the readings, sorted."""
        self.target.settle(READINGS.name)
        records = self.target.read(READINGS.name)
        assert all(r.key() == json.loads(r.value())["device_id"].encode() for r in records)
        return sorted(str(json.loads(record.value())["energy_consumed"]) for record in records)


@pytest.fixture
def archive(
    kafka: Kafka,
    own_kafka: Kafka,
    settings_factory: SettingsFactory,
    topic_factory: Callable[..., str],
) -> Setting:
    """2 partitions of 30 readings each on the shared broker."""
    topic = topic_factory("archive", partitions=2)
    for partition in range(2):
        values = [reading(f"d{n % 3}", 100 * partition + n) for n in range(30)]
        kafka.write(topic, values, partition)
    return Setting(kafka, own_kafka, settings_factory, topic)


ALL = sorted(str(100 * partition + n) for partition in range(2) for n in range(30))


def test_all_of_another_cluster_is_copied_once_and_again_only_what_is_new(archive: Setting) -> None:
    first = archive.run()
    assert (first.readings, first.quarantined, first.before) == (60, 0, 0)
    assert archive.copied() == ALL
    archive.source.write(
        archive.topic, [reading("new", 7), b"no reading", None, reading("new", 8)], 1
    )
    second = archive.run()
    assert (second.readings, second.quarantined, second.before) == (2, 2, 60)
    assert archive.copied() == sorted([*ALL, "7", "8"])
    archive.target.settle(QUARANTINE.name)
    bad = [json.loads(record.value()) for record in archive.target.read(QUARANTINE.name)]
    # Each may be in another partition of the quarantine: they are read in any order.
    assert sorted((row["__file"], row["__line"]) for row in bad) == [
        (f"{archive.topic}/1", n) for n in (31, 32)
    ]
    assert {row["c__import_id"] for row in bad} == {f"backfill/{first.import_id}"}
    assert {row["__topic"] for row in bad} == {None}, "an offset of another cluster is not ours"
    assert archive.run().readings == 0


def test_broken_off_after_each_transaction_it_goes_on_where_it_was(
    archive: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(Exception):
        """The process is gone."""

    monkeypatch.setattr(backfilling, "BATCH_ROWS", 7)
    write_all = backfilling.Importer.write_all

    def write_and_die(self: object, *arguments: object) -> None:
        write_all(self, *arguments)  # type: ignore[arg-type]
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(backfilling.Importer, "write_all", write_and_die)
        for _ in range(3):
            with pytest.raises(Killed):
                archive.run(import_id="kept")
    assert len(archive.copied()) >= 3
    archive.run(import_id="kept")
    assert archive.copied() == ALL


def test_a_range_is_copied_and_another_part_later(archive: Setting) -> None:
    assert archive.run(begin_at="0:10", end_at="0:20,1:0").readings == 10
    assert archive.copied() == [str(n) for n in range(10, 20)]
    assert archive.run(end_at="0:25,1:5").readings == 10
    assert archive.copied() == sorted(map(str, [*range(10, 25), *range(100, 105)]))


def test_records_of_aborted_transactions_are_not_copied(archive: Setting) -> None:
    writer = TransactionalWriter(archive.source, archive.topic)
    writer.write([(None, reading("t", 901))], is_aborted=True)
    writer.write([(None, reading("t", 902))])
    assert archive.run().readings == 61
    assert archive.copied() == sorted([*ALL, "902"])
    assert archive.run().readings == 0


def test_a_topic_into_itself_is_refused_by_any_name_of_the_broker(
    own_kafka: Kafka, settings_factory: SettingsFactory
) -> None:
    same = Kafka(own_kafka.bootstrap_servers.replace("127.0.0.1", "localhost"))
    setting = Setting(same, own_kafka, settings_factory)
    own_kafka.write(READINGS.name, [reading("a", 1)])
    with pytest.raises(SettingError, match="is the readings topic itself"):
        setting.run(READINGS.name)
    with pytest.raises(SettingError, match="is not on the cluster"):
        setting.run("nowhere")
    assert len(own_kafka.read(READINGS.name)) == 1
    assert own_kafka.read(IMPORTS.name) == []


def test_an_id_belongs_to_one_topic_and_lost_offsets_are_named(archive: Setting) -> None:
    archive.run(import_id="mine", end_at="0:10,1:10")
    other = archive.source.create_topic(f"{archive.topic}-2", 1)
    with pytest.raises(Refused, match=f"--id mine belongs to topic {archive.topic} "):
        archive.run(other, import_id="mine")
    remove(archive, 15)
    with pytest.raises(Refused, match=r"partition:offsets 0:10-14 were removed .*--from 0:15,1:10"):
        archive.run(import_id="mine")


def test_ops_b3_retention_that_overtakes_a_copy_is_refused_and_the_rest_copied_once(
    archive: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.run(import_id="mine", end_at="0:10,1:10")
    reader = backfill_source.reader

    def overtaken(settings: ProducerSettings, where_removed: str) -> object:
        remove(archive, 15)
        return reader(settings, where_removed)

    with monkeypatch.context() as patched:
        patched.setattr(backfill_source, "reader", overtaken)
        with pytest.raises(Refused, match=r"0:10-14 were removed .*--from 0:15,1:") as refused:
            archive.run(import_id="mine")
    rest = str(refused.value).split("--from ")[1]
    archive.run(import_id="other", begin_at=rest)
    lost = {str(n) for n in range(10, 15)}
    assert archive.copied() == [each for each in ALL if each not in lost]


def remove(archive: Setting, first: int) -> None:
    """Let partition 0 begin there, as retention does."""
    admin = archive.source.admin()
    for done in admin.delete_records([TopicPartition(archive.topic, 0, first)]).values():
        done.result(ANSWER_SECONDS)
