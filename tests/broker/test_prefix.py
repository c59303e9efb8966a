"""ENERGY_PREFIX: two installations on one cluster and in one home; neither touches the other."""

from __future__ import annotations

import struct
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, TopicCollection, TopicPartition
from confluent_kafka.admin import ConfigResource, OffsetSpec, ResourceType

from local_stack.ports import free_port
from tests.fault.checker import read_quarantine
from tests.fault.fleet import Fleet
from tests.installation import Installation, Running
from tests.kafka import ANSWER_SECONDS, Kafka, wait_until

PARTITIONS = 2
RESTART_ME = 75
#: So many devices have reported before anything happens to one of them.
BEGUN_DEVICES = 20
VIEWS = ("device_totals", "energy_series")
WORKER_HOST = "127.0.0.2"


class Loaded(Installation):
    """An installation, and a fleet that never stops publishing to it."""

    worker: Running
    api: Running

    def __init__(self, kafka: Kafka, prefix: str, directory: Path, number: int) -> None:
        directory.mkdir()
        self.kafka, self.home = kafka, directory.parent / "home"
        # Kept: what a client that is gone was asked for is never answered.
        self.admin = kafka.admin()
        self.port = free_port()
        environ = {
            "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            # Of both, as where somebody tries a second installation beside the first.
            "ENERGY_HOME": str(self.home),
            "STREAM_APP_DATADIR": str(self.home / f"worker-{number}"),
            "STREAM_APP_HTTP_HOST": WORKER_HOST,
            "STREAM_APP_HTTP_PORT": str(self.port),
        }
        super().__init__(lambda _: environ, directory, prefix)
        self.fleet = Fleet(
            kafka.bootstrap_servers,
            seed=number,
            rate=100,
            devices=60,
            partitions=PARTITIONS,
            topic=f"{prefix}energy_consumption",
        )

    def begin(self) -> None:
        """Start all of it; returns once readings are counted."""
        self.worker, self.api = self.start()
        self.fleet.start()
        wait_until(lambda: len(self.totals()) >= BEGUN_DEVICES, "it counts", 60)

    def topics(self) -> set[str]:
        names = self.admin.list_topics(timeout=ANSWER_SECONDS).topics
        return {name for name in names if name.startswith(self.prefix)}

    def expected_topics(self, view_version: int) -> set[str]:
        others = ("consumption", "consumption_quarantine", "imports", "views")
        changelogs = {f"{self.prefix}energy-v{view_version}-{view}-changelog" for view in VIEWS}
        return {f"{self.prefix}energy_{name}" for name in others} | changelogs

    def groups(self) -> set[str]:
        listed = self.admin.list_consumer_groups().result(ANSWER_SECONDS).valid
        return {each.group_id for each in listed if each.group_id.startswith(self.prefix)}

    def committed(self) -> dict[int, int]:
        """What its group says for people: the offset of each partition."""
        asked = [ConsumerGroupTopicPartitions(f"{self.prefix}energy-v1")]
        (found,) = self.admin.list_consumer_group_offsets(asked).values()
        return {
            each.partition: each.offset for each in found.result(ANSWER_SECONDS).topic_partitions
        }

    def standing(self) -> dict[str, Any]:
        """All that stays as it is while readings come."""
        admin, names = self.admin, sorted(self.topics())
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
        configs = admin.describe_configs(resources).items()
        described = admin.describe_topics(TopicCollection(names)).items()
        ids = {name: found.result(ANSWER_SECONDS) for name, found in described}
        places = [TopicPartition(n, p) for n in names for p in range(len(ids[n].partitions))]
        firsts = admin.list_offsets({place: OffsetSpec.earliest() for place in places}).items()
        listed = [path for path in self.home.rglob("*") if self.is_ours(path)]
        return {
            "ids": {name: str(topic.topic_id) for name, topic in ids.items()},
            "configs": {
                each.name: {
                    name: entry.value for name, entry in found.result(ANSWER_SECONDS).items()
                }
                for each, found in configs
            },
            "first offsets": {
                str(place): found.result(ANSWER_SECONDS).offset for place, found in firsts
            },
            "groups": self.groups(),
            "writers": writers(self.kafka, self.prefix),
            "directories and copies": {str(path): path.stat().st_ino for path in listed},
        }

    def is_ours(self, path: Path) -> bool:
        """Whether it is a directory of this installation, or a copy."""
        return self.prefix in str(path) and (path.is_dir() or path.suffix == ".mdb")

    def check_counted(self, view_version: int) -> None:
        """Hold all that is counted against what Kafka has acknowledged, once nothing comes."""
        oracle = self.fleet.finish()
        assert (oracle.unknown, oracle.refused) == (0, [])
        wait_until(lambda: self.exact() == oracle.totals, "totals are those acknowledged", 60)
        quarantine = f"{self.prefix}energy_consumption_quarantine"
        found = read_quarantine(self.kafka, quarantine, view_version)
        assert found == dict.fromkeys(oracle.bad, 1)

    def exact(self) -> dict[str, Fraction]:
        return {device: Fraction(total) for device, total in self.totals().items()}


def writers(kafka: Kafka, prefix: str) -> dict[str, tuple[int, int]]:
    """Transactional id -> its producer's id and epoch, which another writer would have raised."""
    found = {}
    for record in kafka.each("__transaction_state"):
        key, value = record.key() or b"", record.value()
        (length,) = struct.unpack_from(">h", key, 2)
        name = key[4 : 4 + length].decode()
        if name.startswith(prefix) and value is not None:
            found[name] = struct.unpack_from(">qh", value, 2)
    return found


@contextmanager
def both(kafka: Kafka, name: str, directory: Path) -> Iterator[tuple[Loaded, Loaded]]:
    """Give two that run; the names of the first one's things are how the other's begin, too."""
    prefixes = (f"{name}.", f"{name}.two.")
    pair = [
        Loaded(kafka, prefix, directory / str(number), number)
        for number, prefix in enumerate(prefixes)
    ]
    pair[0].make_token()  # the other finds it in their home
    try:
        with ThreadPoolExecutor(2) as pool:
            for begun in [pool.submit(each.begin) for each in pair]:
                begun.result()
        yield pair[0], pair[1]
    finally:
        for each in pair:
            each.fleet.finish(seconds=1)
            each.close()


@pytest.mark.timeout(180)
def test_ops_k8_two_installations_under_load_share_a_cluster_and_never_meet(
    kafka: Kafka, unique_name: str, tmp_path: Path
) -> None:
    with both(kafka, unique_name[-12:], tmp_path) as (one, other):
        for each in (one, other):
            page = f"http://{WORKER_HOST}:{each.port}/metrics"
            with urllib.request.urlopen(page, timeout=10) as shown:
                assert b'energy_build_info{commit="' in shown.read()
        before, committed = other.standing(), other.committed()
        assert set(before["ids"]) == other.expected_topics(1)
        assert len(before["writers"]) > PARTITIONS

        one.run("replay", "start", "--promote")
        one.run("replay", "drop-old")
        assert one.topics() - other.topics() == one.expected_topics(2)
        wait_until(lambda: f"{one.prefix}energy-v2" in one.groups(), "its worker is at version 2")
        assert f"{one.prefix}energy-v1" not in one.groups()

        assert other.standing() == before
        now = other.committed()
        assert all(now[p] >= committed[p] for p in committed), (committed, now)
        one.check_counted(view_version=2)
        other.check_counted(view_version=1)
        assert (other.worker.exit_codes, other.api.exit_codes, one.api.exit_codes) == ([], [], [])
        assert set(one.worker.exit_codes) == {RESTART_ME}, "it goes on at version 2"
        assert {each.stop() for loaded in (one, other) for each in (loaded.worker, loaded.api)} == {
            0
        }
