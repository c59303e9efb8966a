"""ENERGY_PREFIX: two installations on one cluster, and neither touches the other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal, localcontext
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import OffsetSpec

from local_stack.ports import free_port
from tests.fault.workers import Workers
from tests.kafka import ANSWER_SECONDS, Kafka, wait_until

ENERGY = str(Path(sys.executable).with_name("energy"))


class Installation:
    """One prefix, as its operator uses it: commands, and what they leave in Kafka."""

    def __init__(self, kafka: Kafka, prefix: str, home: Path) -> None:
        self.kafka, self.prefix, self.home = kafka, prefix, home
        home.mkdir()
        self._environ = {
            "PATH": os.environ["PATH"],
            "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "ENERGY_PREFIX": prefix,
            "ENERGY_HOME": str(home),
            "ENERGY_PARTITIONS": "2",
        }

    def energy(self, *arguments: str) -> None:
        done = subprocess.run(
            [ENERGY, *arguments],
            env=self._environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def send(self, seed: int) -> dict[str, Decimal]:
        """Readings of its own; returns what Kafka acknowledged."""
        oracle = self.home / "oracle.json"
        arguments = ("--readings", "3000", "--devices", "20", "--seed", str(seed))
        self.energy("simulate", *arguments, "--oracle", str(oracle))
        return {device: Decimal(text) for device, text in json.loads(oracle.read_text()).items()}

    @contextmanager
    def worker(self) -> Iterator[None]:
        """A worker that is started again whenever it asks for it."""
        workers = Workers(self.home, self._environ)
        try:
            port = free_port()
            running = workers.add(STREAM_APP_HTTP_HOST="127.0.0.2", STREAM_APP_HTTP_PORT=str(port))
            yield
            with urllib.request.urlopen(f"http://127.0.0.2:{port}/metrics", timeout=5) as shown:
                assert b'energy_build_info{commit="' in shown.read()
            assert running.stop() == 0
        finally:
            print(running.log)  # shown where the test fails
            workers.abandon()

    def totals(self, view_version: int = 1) -> dict[str, Decimal]:
        topic = f"{self.prefix}energy-v{view_version}-device_totals-changelog"
        parts: dict[tuple[int, str], Decimal] = {}
        for record in self.kafka.read(topic):
            key = (record.key() or b"").decode()
            if not key.startswith("\0"):
                parts[record.partition(), key] = Decimal(
                    (record.value() or b"").split()[2].decode()
                )
        found: dict[str, Decimal] = defaultdict(Decimal)
        with localcontext(prec=2_000):
            for (_, device), part in parts.items():
                found[device] += part
        return dict(found)

    def topics(self) -> dict[str, int]:
        """Each topic of its own, and how many offsets it has in all."""
        admin = self.kafka.admin()
        found = {}
        for name, topic in admin.list_topics(timeout=ANSWER_SECONDS).topics.items():
            if name.startswith(self.prefix):
                ends = admin.list_offsets(
                    {TopicPartition(name, p): OffsetSpec.latest() for p in topic.partitions}
                )
                found[name] = sum(end.result(ANSWER_SECONDS).offset for end in ends.values())
        return found


@pytest.mark.timeout(180)
def test_ops_k8_two_installations_share_a_cluster_and_never_meet(
    kafka: Kafka, unique_name: str, tmp_path: Path
) -> None:
    one = Installation(kafka, f"{unique_name[-12:]}.one-", tmp_path / "one")
    other = Installation(kafka, f"{unique_name[-12:]}.other-", tmp_path / "other")
    for installation in (one, other):
        installation.energy("topics", "create")
    expected, others = one.send(1), other.send(2)
    assert expected != others
    with other.worker():
        wait_until(lambda: other.totals() == others, "the other's are counted", 40)
    before = other.topics()
    with one.worker():
        wait_until(lambda: one.totals() == expected, "the one's are counted", 40)
        one.energy("replay", "start", "--promote")
        assert one.totals(2) == expected
        one.energy("replay", "drop-old")
    assert other.topics() == before, "nothing of the other was touched"
    assert set(before) == {
        other.prefix + name
        for name in (
            "energy_consumption",
            "energy_consumption_quarantine",
            "energy_imports",
            "energy_views",
            "energy-v1-device_totals-changelog",
            "energy-v1-energy_series-changelog",
        )
    }
    assert f"{one.prefix}energy-v1-device_totals-changelog" not in one.topics()
    assert f"{one.prefix}energy-v2-device_totals-changelog" in one.topics()
