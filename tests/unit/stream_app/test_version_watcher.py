"""What a worker sees while it runs and starts: topics, views and configs, believed when certain."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from confluent_kafka.admin import ConfigResource, ResourceType

from contract.changelog import Birth
from contract.device_totals import DEVICE_TOTALS
from contract.energy_series import ENERGY_SERIES
from contract.topics import QUARANTINE, READINGS, VIEWS
from contract.view_versions import Views, ViewVersion
from contract.views import rules_with
from kafka_io.cluster import Cluster, TopicOnBroker
from kafka_io.errors import NotAllowed
from kafka_io.rights import Right, not_allowed, read, write
from stream_app.changelog.single_batches import REMEMBERED_MS, SingleBatches
from stream_app.checks import certainty
from stream_app.checks import preflight as doctor
from stream_app.checks import version_watcher as watch_module
from stream_app.checks.certainty import certainly
from stream_app.checks.preflight import Basis, examine
from stream_app.checks.version_watcher import Watch, watch
from stream_app.errors import Refusal, RestartNeeded, Suspicion
from stream_app.settings import WorkerSettings

CHANGELOG, SERIES = (view.changelog(1).name for view in (DEVICE_TOTALS, ENERGY_SERIES))
BIRTH = Birth("cluster", READINGS.name, "id-1", "id-2", -1, rules_with("off"))
BASIS = Basis(1, 2, {DEVICE_TOTALS: BIRTH}, quarantine_id="id-3")
SETTINGS = WorkerSettings.load({})


def topics(**partitions: int) -> dict[str, TopicOnBroker]:
    """All topics there have to be, with two partitions each unless it is said."""
    names = {"readings": READINGS.name, "changelog": CHANGELOG, "quarantine": QUARANTINE.name}
    found = {
        name: TopicOnBroker(name, f"id-{number}", partitions.get(short, 2), 1)
        for number, (short, name) in enumerate(names.items(), start=1)
    }
    return found | {VIEWS.name: TopicOnBroker(VIEWS.name, "id-4", 1, 1)}


def views(partitions: int = 2) -> Views:
    return Views(1, {1: ViewVersion(1, "live", partitions, rules_with("off"))})


class FakeCluster:
    """A cluster that answers as it is told, the next answer after each look."""

    def __init__(self) -> None:
        self.present = topics()
        self.views = views()
        self.topic_configs: dict[str, dict[str, str]] = {}
        self.brokers_asked = 0
        self.misses = 0
        self.taken_away: list[Right] = []

    def brokers(self) -> int:
        return 1

    def lacking(self, needed: Iterable[Right]) -> list[Right]:
        return [right for right in needed if right in self.taken_away]

    def refuse_lacking(self, needed: Iterable[Right]) -> None:
        if missing := self.lacking(needed):
            raise NotAllowed(not_allowed(missing))

    def cluster_id(self) -> str:
        return "cluster"

    def topics(self, names: list[str]) -> dict[str, TopicOnBroker]:
        if self.misses:
            self.misses -= 1
            return {}
        return {name: self.present[name] for name in names if name in self.present}

    def configs(self, names: Any) -> dict[str, dict[str, str]]:
        return {name: self.topic_configs.get(name, {}) for name in names}

    def broker_configs(self) -> dict[str, dict[str, str]]:
        self.brokers_asked += 1
        return {"1": {}}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    made = FakeCluster()

    async def read_views(_: Any) -> Views:
        return made.views

    for module in (doctor, watch_module):
        monkeypatch.setattr(module, "read_views", read_views)
    monkeypatch.setattr(certainty, "CERTAIN_SECONDS", 0.02)
    monkeypatch.setattr(certainty, "_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(watch_module, "CONFIGS_SECONDS", 0.0)
    return made


def examined(cluster: FakeCluster) -> Basis:
    return asyncio.run(examine(SETTINGS, cast(Cluster, cluster)))


def looked(cluster: FakeCluster, warnings: list[str]) -> None:
    asyncio.run(Watch(SETTINGS, cast(Cluster, cluster), BASIS, warnings).look())


def test_c10_a_suspicion_is_believed_only_when_it_lasts() -> None:
    answers = iter([Suspicion("gone"), Suspicion("gone"), None])

    async def ask() -> str:
        if (answer := next(answers)) is not None:
            raise answer
        return "there"

    assert asyncio.run(certainly(ask)) == "there"


def test_c10_a_start_asks_again_before_it_believes_that_a_topic_is_not_there(
    cluster: FakeCluster,
) -> None:
    cluster.misses = 1
    assert examined(cluster).partitions == 2
    cluster.misses = 1
    cluster.views = Views()
    with pytest.raises(Refusal, match="names no live view version"):
        examined(cluster)


@pytest.mark.parametrize(
    "right",
    [
        read(READINGS.name),
        read(VIEWS.name),
        write(QUARANTINE.name),
        read(CHANGELOG),
        write(CHANGELOG),
        Right("READ", "group", "energy-v1"),
    ],
    ids=str,
)
def test_a_right_that_is_missing_ends_a_start_and_is_named(
    cluster: FakeCluster, right: Right
) -> None:
    cluster.taken_away = [right]
    with pytest.raises(NotAllowed, match=f"not allowed: {right}; see deploy/kafka/acls.md"):
        examined(cluster)


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    """What a watch, which looks all the time, ends its process with."""
    errors: list[BaseException] = []

    def end_process(_: str, error: BaseException) -> None:
        errors.append(error)
        raise asyncio.CancelledError

    monkeypatch.setattr(watch_module, "end_process", end_process)
    monkeypatch.setattr(watch_module, "INTERVAL_SECONDS", 0.0)
    return errors


async def test_a_right_that_is_taken_away_ends_a_worker_that_runs(
    cluster: FakeCluster, ended: list[BaseException]
) -> None:
    cluster.taken_away = [write(CHANGELOG)]
    watched = Watch(SETTINGS, cast(Cluster, cluster), BASIS, [])
    with pytest.raises(asyncio.CancelledError):
        await watch(watched, lambda _: None, is_pinned=False)
    assert str(write(CHANGELOG)) in str(ended[0])


def test_c23_a_start_asks_for_the_brokers_configs_once(cluster: FakeCluster) -> None:
    examined(cluster)
    assert cluster.brokers_asked == 1


def test_c10_an_empty_answer_about_the_views_ends_nobody_and_is_told(cluster: FakeCluster) -> None:
    cluster.views = Views()
    warnings: list[str] = []
    looked(cluster, warnings)
    assert len(warnings) == 1
    assert "says nothing of view version 1" in warnings[0]


@pytest.mark.parametrize(
    ("topic", "name", "value", "words"),
    [
        (READINGS.name, "retention.ms", "1000", "retention.ms is 1000"),
        (CHANGELOG, "max.message.bytes", "1000", "larger commits are refused"),
        (QUARANTINE.name, "max.message.bytes", "1000", "larger invalid records are refused"),
    ],
)
def test_x58_a_config_that_changes_is_told_and_when_it_is_no_longer_so(
    cluster: FakeCluster, topic: str, name: str, value: str, words: str
) -> None:
    warnings: list[str] = []
    cluster.topic_configs = {topic: {name: value}}
    looked(cluster, warnings)
    assert [words in line for line in warnings] == [True]
    cluster.topic_configs = {}
    looked(cluster, warnings)
    assert warnings == []


@pytest.mark.parametrize(
    ("topic", "name", "value"),
    [
        (READINGS.name, "cleanup.policy", "compact"),
        (CHANGELOG, "cleanup.policy", "delete"),
        (READINGS.name, "unclean.leader.election.enable", "true"),
    ],
)
async def test_x58_a_config_that_would_cost_readings_ends_a_worker_that_runs(
    cluster: FakeCluster,
    ended: list[BaseException],
    monkeypatch: pytest.MonkeyPatch,
    topic: str,
    name: str,
    value: str,
) -> None:
    monkeypatch.setattr(certainty, "CERTAIN_SECONDS", 0.3)  # a loaded machine's look takes a while
    cluster.topic_configs = {topic: {name: value}}
    watched = Watch(SETTINGS, cast(Cluster, cluster), BASIS, [])
    with pytest.raises(asyncio.CancelledError):
        await watch(watched, lambda _: None, is_pinned=False)
    assert f"{topic}: {name} is {value}" in str(ended[0])
    assert cluster.brokers_asked > 1, "asked again before it is believed"


def test_f8_configs_that_no_longer_allow_single_batches_end_them_while_it_runs(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def proves() -> None:
        pass

    single = SingleBatches(None)
    asyncio.run(single.prove(1, proves))
    shown = {
        "producer.id.expiration.ms": str(REMEMBERED_MS),
        "transactional.id.expiration.ms": str(REMEMBERED_MS),
    }
    monkeypatch.setattr(cluster, "broker_configs", lambda: {"1": shown})
    cluster.topic_configs = {CHANGELOG: {"message.timestamp.type": "LogAppendTime"}}
    basis = BASIS._replace(single_batches=single)
    watched = Watch(SETTINGS, cast(Cluster, cluster), basis, [])
    asyncio.run(watched.look())
    assert single.is_proven(1)
    cluster.topic_configs[CHANGELOG]["message.timestamp.type"] = "CreateTime"
    asyncio.run(watched.look())
    assert not single.is_proven(1)
    assert "message.timestamp.type is CreateTime" in str(single)
    cluster.topic_configs[CHANGELOG]["message.timestamp.type"] = "LogAppendTime"
    asyncio.run(watched.look())
    assert not single.is_proven(1), "a restart allows them again"
    assert single.are_possible, "a former owner may have written some"


def test_f8_configs_that_allow_single_batches_later_allow_them_to_others() -> None:
    single = SingleBatches("the brokers do not show their configs")
    single.configs_judged(None)
    assert single.are_possible, "a worker that starts now may write some"
    assert not single.is_proven(1)
    assert "do not show" in str(single)


@pytest.mark.parametrize("there", [0, 1, 2])
def test_c18_a_quarantine_that_is_gone_or_came_back_is_told(
    cluster: FakeCluster, there: int
) -> None:
    cluster.present[QUARANTINE.name] = TopicOnBroker(QUARANTINE.name, "id-9", there, 1)
    if not there:
        del cluster.present[QUARANTINE.name]
    warnings: list[str] = []
    looked(cluster, warnings)
    told = "\n".join(warnings)
    assert ("there is no topic" in told) is (there == 0)
    assert ("energy topics grow 2" in told) is (there == 1)
    assert ("was deleted and created again" in told) is (there > 0)
    # A start goes on without it, too: partitions without invalid records need none.
    assert examined(cluster).partitions == 2


def test_c19_partitions_that_others_added_are_told_and_not_counted(cluster: FakeCluster) -> None:
    cluster.present = topics(readings=4)
    warnings: list[str] = []
    looked(cluster, warnings)
    assert [line.endswith("energy topics grow 4") for line in warnings] == [True]
    started = examined(cluster)
    assert started.partitions == 2
    assert started.warnings == tuple(warnings)


def test_x28_partitions_in_which_the_view_was_born_are_taken_in_by_a_start(
    cluster: FakeCluster,
) -> None:
    cluster.present = topics(changelog=4, quarantine=4)
    cluster.views = views(4)
    looked(cluster, [])  # the readings topic is still to follow
    cluster.present = topics(readings=4, changelog=4, quarantine=4)
    with pytest.raises(RestartNeeded, match="has 4 partitions now, not 2"):
        looked(cluster, [])
    assert examined(cluster).partitions == 4


def test_x45_a_topic_that_is_another_one_is_a_suspicion_first(cluster: FakeCluster) -> None:
    cluster.present[READINGS.name] = TopicOnBroker(READINGS.name, "other", 2, 1)
    with pytest.raises(Suspicion, match="was deleted and created again"):
        looked(cluster, [])


@pytest.fixture
def both(cluster: FakeCluster) -> FakeCluster:
    """A live version that has totals and series."""
    cluster.views = Views(1, {1: ViewVersion(1, "live", 2, "2")})
    cluster.present[SERIES] = TopicOnBroker(SERIES, "id-5", 2, 1)
    return cluster


def test_a_start_looks_at_the_changelog_of_each_view(both: FakeCluster) -> None:
    basis = examined(both)
    assert basis.views == (DEVICE_TOTALS, ENERGY_SERIES)
    births = [basis.expected_births[view] for view in basis.views]
    assert [birth.changelog_topic_id for birth in births] == ["id-2", "id-5"]
    assert {birth.rules_id for birth in births} == {"2"}
    both.present[SERIES] = TopicOnBroker(SERIES, "id-5", 1, 1)
    assert examined(both).partitions == 1
    del both.present[SERIES]
    with pytest.raises(Refusal, match=f"there is no topic {SERIES}; it was deleted"):
        examined(both)


def test_what_is_wrong_with_any_view_s_changelog_is_seen_while_it_runs(both: FakeCluster) -> None:
    basis, warnings = examined(both), list[str]()
    both.topic_configs = {
        SERIES: {"max.message.bytes": "1000"},
        READINGS.name: {"retention.ms": "1000"},
    }
    watched = Watch(SETTINGS, cast(Cluster, both), basis, warnings)
    asyncio.run(watched.look())
    assert [line.split(":")[0] for line in warnings] == [READINGS.name, SERIES], "each once"
    both.present[SERIES] = TopicOnBroker(SERIES, "other", 2, 1)
    with pytest.raises(Suspicion, match=f"{SERIES} was deleted and created again"):
        asyncio.run(watched.look())


def test_c20_a_config_that_is_shown_without_its_value_is_not_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown = {"min.insync.replicas": None, "retention.ms": "5"}
    entries = {name: SimpleNamespace(value=value) for name, value in shown.items()}
    answer = {ConfigResource(ResourceType.TOPIC, "topic"): entries}
    asked = object.__new__(Cluster)
    monkeypatch.setattr(asked, "ask", lambda *_: answer, raising=False)
    assert asked.configs(["topic"]) == {"topic": {"retention.ms": "5"}}
