"""Clusters that are not the local broker: through a tunnel, or with fewer rights than we like."""

from __future__ import annotations

from typing import Any

import pytest

from contract.changelog import Marker
from contract.device_totals import DEVICE_TOTALS
from contract.topics import READINGS
from contract.view_versions import Views, ViewVersion
from kafka_io.cluster import TopicOnBroker
from kafka_io.errors import ClusterRefused
from operations import status
from operations.settings import TopicSettings
from operations.topics import declared as topics
from stream_app.checks import examination
from stream_app.settings import WorkerSettings


@pytest.mark.parametrize(
    ("servers", "brokers", "factor", "replication"),
    [
        ("127.0.0.1:9092", 1, None, 1),
        ("127.0.0.1:9092", 3, None, 3),
        ("localhost:9092", 2, None, 3),
        ("kafka:9092", 1, None, 3),
        ("kafka:9092", 5, None, 3),
        ("kafka:9092", 1, "1", 1),
        ("127.0.0.1:9092", 3, "2", 2),
    ],
)
def test_ops_k9_one_copy_is_for_one_broker_of_this_machine_alone(
    servers: str, brokers: int, factor: str | None, replication: int
) -> None:
    environ = {"KAFKA_BOOTSTRAP_SERVERS": servers}
    if factor is not None:
        environ["ENERGY_REPLICATION_FACTOR"] = factor
    assert TopicSettings.load(environ).replication(brokers) == replication


class Closed:
    """A cluster that tells a login without DescribeConfigs nothing of configs."""

    settings = TopicSettings.load({})

    def brokers(self) -> int:
        return 3

    def topics(self, names: list[str]) -> dict[str, TopicOnBroker]:
        return {name: TopicOnBroker(name, "id", 1, 3) for name in names}

    def configs(self, names: object) -> dict[str, dict[str, str]]:
        raise ClusterRefused("Kafka says: Topic authorization failed")

    broker_configs = configs

    def first_offsets(self, name: str, partitions: int) -> list[int]:
        return [0] * partitions

    def end_offsets(self, name: str, partitions: int, *, committed: bool = False) -> list[int]:
        return [10] * partitions

    def owners(self, group: str) -> dict[object, str]:
        return {}


def test_ops_k10_status_tells_the_lag_to_a_login_that_may_not_see_configs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    views = Views(1, {1: ViewVersion(1, "live", 1, "1")})
    for module in (status, topics):
        monkeypatch.setattr(module, "current_views", lambda cluster: views)
    monkeypatch.setattr(status, "verify_births", lambda *_: None)
    monkeypatch.setattr(status, "read_markers", lambda *_: {0: Marker(6)})
    monkeypatch.setattr(status, "read_replay", lambda *_: None)
    cluster: Any = Closed()
    found = status.read_status(cluster, TopicSettings.load({}), 0)
    assert [(p.partition, p.lag_records) for p in found.partitions] == [(0, 3)]
    assert [line for line in found.problems if "authorization failed" in line] == [
        "configs were not checked: Kafka says: Topic authorization failed",
        "topics were not compared with their declarations: Kafka says: Topic authorization failed",
    ]


@pytest.mark.parametrize(
    ("servers", "brokers", "is_judged"),
    [("127.0.0.1:9092", 1, False), ("127.0.0.1:9092", 3, True), ("kafka:9092", 1, True)],
)
def test_ops_k9_copies_are_judged_wherever_there_could_be_some(
    servers: str, brokers: int, is_judged: bool
) -> None:
    settings = WorkerSettings.load({"KAFKA_BOOTSTRAP_SERVERS": servers})
    name = DEVICE_TOTALS.changelog(1).name
    there = {each: TopicOnBroker(each, "id", 1, 1) for each in (READINGS.name, name)}
    configs: dict[str, dict[str, str]] = {each: {} for each in there}
    seen = examination.Seen({str(number): {} for number in range(brokers)}, configs, [])
    found = examination.examine_configs(seen, there, [name], settings)
    assert any("replication factor is 1" in finding.line for finding in found) is is_judged
