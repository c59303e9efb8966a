"""Topics on managed clusters: what their defaults are, what they let us set, what is said of each.

The defaults and bounds are of the providers' public documentation; nothing here ran on them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from confluent_kafka.admin import NewTopic

from contract.cluster_rules import Finding, judge_copies, judge_keeping, judge_leaders, judge_sizes
from contract.device_totals import DEVICE_TOTALS
from contract.topic_configs import Need, need_of
from contract.topics import QUARANTINE, READINGS
from contract.view_versions import Views, ViewVersion
from kafka_io.cluster import TopicOnBroker
from kafka_io.errors import ClusterRefused, ConfigRefused
from operations.errors import Refused
from operations.settings import TopicSettings
from operations.topics import declared as topics
from operations.topics.declared import check, create, create_changelogs

UNCLEAN = "unclean.leader.election.enable"
CHANGELOG = DEVICE_TOTALS.changelog(1).name
#: Kafka 4.1's own, for what a provider does not say otherwise.
KAFKA = {
    "cleanup.policy": "delete",
    "retention.ms": "604800000",
    "retention.bytes": "-1",
    "segment.bytes": "1073741824",
    "segment.ms": "604800000",
    "max.message.bytes": "1048588",
    "min.cleanable.dirty.ratio": "0.5",
    "min.compaction.lag.ms": "0",
    "min.insync.replicas": "1",
    "message.timestamp.type": "CreateTime",
    UNCLEAN: "false",
}


class Provider(NamedTuple):
    """Defaults of a topic, what is the provider's own matter, and the least that it takes."""

    defaults: Mapping[str, str]
    fixed: frozenset[str] = frozenset()
    least: Mapping[str, int] = {}


#: docs.confluent.io: "Configuration Reference for Topics in Confluent Cloud".
CONFLUENT = Provider(
    KAFKA
    | {"segment.bytes": "104857600", "max.message.bytes": "2097164", "min.insync.replicas": "2"},
    fixed=frozenset({UNCLEAN, "min.cleanable.dirty.ratio"}),
    least={"segment.bytes": 52_428_800, "segment.ms": 14_400_000},
)
#: docs.aws.amazon.com: "Default Amazon MSK configuration", three zones, without tiered storage.
MSK = Provider(KAFKA | {"min.insync.replicas": "2", UNCLEAN: "true"})
PROVIDERS = {"Confluent Cloud": CONFLUENT, "Amazon MSK": MSK}


class Managed:
    """A cluster of a provider, of three brokers."""

    settings = TopicSettings.load({"KAFKA_BOOTSTRAP_SERVERS": "managed:9092"})

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self.made: dict[str, dict[str, str]] = {}
        self.hides: set[str] = set()

    def brokers(self) -> int:
        return 3

    def topics(self, names: Any) -> dict[str, TopicOnBroker]:
        partitions = {name: 1 if "views" in name or "imports" in name else 4 for name in names}
        return {n: TopicOnBroker(n, "id", partitions[n], 3) for n in partitions if n in self.made}

    def topic_names(self) -> set[str]:
        return set(self.made)

    def configs(self, names: Any) -> dict[str, dict[str, str]]:
        whole = {name: {**self._provider.defaults, **self.made[name]} for name in names}
        return {
            name: {key: value for key, value in configs.items() if key not in self.hides}
            for name, configs in whole.items()
        }

    def create_topics(self, wanted: list[NewTopic]) -> set[str]:
        refused, made = [], set()
        for topic in wanted:
            bad = [
                name
                for name, value in topic.config.items()
                if name in self._provider.fixed or int_of(value) < self.least(name)
            ]
            if bad:
                refused.append(f"{topic.topic}: Config property '{bad[0]}'")
            else:
                self.made[topic.topic] = dict(topic.config)
                made.add(topic.topic)
        if refused:
            raise ConfigRefused("; ".join(refused), frozenset(made))
        return made

    def least(self, name: str) -> int:
        return self._provider.least.get(name, -1)


def int_of(value: str) -> int:
    return int(value) if value.isdecimal() else 0


@pytest.fixture
def settings() -> TopicSettings:
    return Managed.settings


@pytest.fixture(autouse=True)
def _no_views_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topics, "current_views", lambda _: None)
    monkeypatch.setattr(topics, "refuse_unknown", lambda *_: None)


def said(findings: list[Finding]) -> list[tuple[str, str, bool]]:
    """Topic, config, whether it refuses."""
    return [
        (topic, what.split(" is ")[0], each.refuses)
        for each in findings
        for topic, what in [each.line.split(": ", 1)]
    ]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_topic_is_made_with_what_totals_need_and_what_is_wanted(
    provider: str, settings: TopicSettings
) -> None:
    cluster: Any = Managed(PROVIDERS[provider])
    done = create(cluster, settings)
    assert set(done.created) == set(cluster.made)
    assert len(done.created) >= 5
    assert {each.need for each in done.differences} <= {Need.CHECKED}
    configs = cluster.configs(cluster.made)
    assert configs[READINGS.name]["retention.ms"] == "-1"
    assert configs[CHANGELOG]["cleanup.policy"] == "compact"
    assert configs[CHANGELOG]["min.compaction.lag.ms"] == "300000"
    assert {each[UNCLEAN] for each in configs.values()} == {"false"}
    findings = judge_leaders(configs)
    findings += judge_keeping(configs, CHANGELOG) + judge_sizes(configs, CHANGELOG)
    assert said(findings + judge_copies(dict.fromkeys(configs, 3), configs)) == []
    assert check(cluster, settings) == done.differences


def test_confluent_cloud_keeps_its_segments_and_that_alone_differs(
    settings: TopicSettings,
) -> None:
    cluster: Any = Managed(CONFLUENT)
    differences = create(cluster, settings).differences
    assert {each.what for each in differences if each.topic == CHANGELOG} == {
        "segment.bytes",
        "segment.ms",
        "min.cleanable.dirty.ratio",
    }
    assert [each for each in differences if each.topic in (READINGS.name, QUARANTINE.name)] == []


def test_msk_takes_all_that_is_declared(settings: TopicSettings) -> None:
    cluster: Any = Managed(MSK)
    assert create(cluster, settings).differences == []
    assert create(cluster, settings).created == []
    create_changelogs(cluster, settings, ViewVersion(2, "building", 4, "1"))
    assert cluster.made[DEVICE_TOTALS.changelog(2).name][UNCLEAN] == "false"


@pytest.mark.parametrize(
    ("provider", "expected"),
    [
        (
            "Confluent Cloud",
            [
                (CHANGELOG, "cleanup.policy", True),
                (CHANGELOG, "min.compaction.lag.ms", True),
                (READINGS.name, "retention.ms", False),
                (QUARANTINE.name, "retention.ms", False),
            ],
        ),
        (
            "Amazon MSK",
            [
                (CHANGELOG, UNCLEAN, True),
                (READINGS.name, UNCLEAN, True),
                (CHANGELOG, "cleanup.policy", True),
                (CHANGELOG, "min.compaction.lag.ms", True),
                (READINGS.name, "retention.ms", False),
                (QUARANTINE.name, "retention.ms", False),
                (QUARANTINE.name, "max.message.bytes", False),
            ],
        ),
    ],
)
def test_what_a_worker_says_of_topics_made_by_hand_with_the_defaults(
    provider: str, expected: list[tuple[str, str, bool]]
) -> None:
    defaults = dict(PROVIDERS[provider].defaults)
    configs = dict.fromkeys((READINGS.name, QUARANTINE.name, CHANGELOG), defaults)
    totals = dict.fromkeys((READINGS.name, CHANGELOG), defaults)
    findings = judge_leaders(totals)
    findings += judge_keeping(configs, CHANGELOG) + judge_sizes(configs, CHANGELOG)
    assert sorted(said(findings)) == sorted(expected)


@pytest.mark.parametrize(
    ("topic", "config", "value"),
    [
        (READINGS.name, "cleanup.policy", "compact"),
        (READINGS.name, UNCLEAN, "true"),
        (CHANGELOG, "cleanup.policy", "delete"),
        (CHANGELOG, UNCLEAN, "true"),
        (CHANGELOG, "min.compaction.lag.ms", "299999"),
    ],
)
def test_a_topic_on_which_totals_could_be_wrong_is_refused_before_anything_is_made(
    topic: str, config: str, value: str, settings: TopicSettings
) -> None:
    cluster: Any = Managed(MSK)
    create(cluster, settings)
    cluster.made = {topic: cluster.made[topic] | {config: value}}
    with pytest.raises(Refused, match=f"{topic}: {config} is {value}.*--add-config {config}="):
        create(cluster, settings)
    assert list(cluster.made) == [topic]
    (found,) = [each for each in check(cluster, settings) if each.what == config]
    assert found.need is Need.REQUIRED
    assert Refused.exit_code == 3


def test_a_cluster_that_lets_no_topic_be_compacted_is_told_in_its_own_words(
    settings: TopicSettings,
) -> None:
    cluster: Any = Managed(MSK._replace(fixed=frozenset({"cleanup.policy"})))
    with pytest.raises(ClusterRefused, match=r"Config property 'cleanup.policy'"):
        create(cluster, settings)


def test_a_cluster_that_lets_no_changelog_wait_for_its_readers_is_told_too(
    settings: TopicSettings,
) -> None:
    cluster: Any = Managed(MSK._replace(fixed=frozenset({"min.compaction.lag.ms"})))
    with pytest.raises(ClusterRefused, match=r"Config property 'min.compaction.lag.ms'"):
        create(cluster, settings)


def test_what_is_not_shown_is_compared_and_refuses_nothing(settings: TopicSettings) -> None:
    cluster: Any = Managed(MSK)
    cluster.hides = {UNCLEAN, "retention.ms"}
    differences = create(cluster, settings).differences
    assert {each.what for each in differences} == {UNCLEAN, "retention.ms"}
    assert {each.need for each in differences} == {Need.CHECKED}


def test_the_document_says_of_each_config_what_it_is_needed_for(settings: TopicSettings) -> None:
    text = (Path(__file__).parents[3] / "docs" / "TOPICS.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| (`[^|]*) \| ([^|]*) \| (required|wanted|checked) \|", text, re.MULTILINE
    )
    told = {
        (name, "quarantine" in where and "readings" not in where): need
        for names, where, need in rows
        for name in re.findall(r"`([a-z.]+)`", names)
    }
    declared = topics.declared_topics(settings, 3)
    for topic in declared:
        for config in (*topic.configs, *topic.made_with):
            own = told.get((config, topic.name == QUARANTINE.name))
            need = own or told.get((config, False)) or told[config, True]
            assert need == need_of(topic.name, config), (topic.name, config)
    assert {name for name, _ in told} == {c for t in declared for c in (*t.configs, *t.made_with)}


def test_a_replay_is_refused_where_its_changelog_would_be_wrong(settings: TopicSettings) -> None:
    cluster: Any = Managed(MSK._replace(fixed=frozenset({UNCLEAN})))
    with pytest.raises(Refused, match=f"{UNCLEAN} is true"):
        create_changelogs(cluster, settings, ViewVersion(2, "building", 4, "1"))
    assert Views().live is None
