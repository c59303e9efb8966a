"""Start-up checks: what the worker stands on, before it touches anything.

Reads the cluster; writes nothing. Each finding is one line that says what to do.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import NamedTuple

from aiokafka.errors import BrokerResponseError, KafkaError

from contract.changelog import Birth
from contract.fold import RULES_ID
from contract.topics import QUARANTINE, READINGS, VIEWS, changelog
from contract.views import Views, ViewVersion
from record_batches.reader import read_all
from stream_app.cluster import Cluster, TopicOnBroker, no_broker
from stream_app.errors import ClusterRefused, Refusal, RestartNeeded, ViewDropped
from stream_app.fence import SingleBatches, refused_by_configs
from stream_app.settings import WorkerSettings
from stream_app.standing import (
    Finding,
    judge_brokers,
    judge_copies,
    judge_keeping,
    judge_leaders,
)

log = logging.getLogger(__name__)

_CREATE = "create the topics: energy topics create"
#: While topics are given more partitions their numbers differ for a moment.
GROWTH_SECONDS = 5.0
_PAUSE_SECONDS = 0.5


class Ground(NamedTuple):
    """What a worker stands on.

    `expected_birth` is what a birth record must say; its start offset means nothing. A pinned
    worker stays on its view version, the others follow the live one.
    """

    view_version: int
    partitions: int
    expected_birth: Birth
    is_pinned: bool = False
    dropped: frozenset[int] = frozenset()
    #: Whether a commit may be a single batch in place of a transaction; probed at a takeover.
    single_batches: SingleBatches = SingleBatches("nobody has looked")
    #: What is at risk though totals are right, one line each.
    warnings: tuple[str, ...] = ()


async def read_views(settings: WorkerSettings) -> Views:
    """Read the view versions and the pointer. Raises: NoBroker, ClusterRefused."""
    views = Views()
    try:
        async for chunk in read_all(settings.for_aiokafka(), VIEWS.name):
            for record in chunk.records:
                views.apply(record.key, record.value)
    except BrokerResponseError as error:
        raise ClusterRefused(f"reading {VIEWS.name}: {error}") from error
    except KafkaError as error:
        raise no_broker(settings, str(error)) from error
    return views


async def examine(settings: WorkerSettings, cluster: Cluster) -> Ground:
    """Check the cluster and return what the worker stands on.

    Raises: NoBroker within 10 s; Refusal with what to do.
    """
    cluster.brokers()
    topics = cluster.topics([READINGS.name, QUARANTINE.name, VIEWS.name])
    for topic in (READINGS, QUARANTINE, VIEWS):
        if topic.name not in topics:
            raise Refusal(f"there is no topic {topic.name}{settings.in_sight}; {_CREATE}")
    views = await read_views(settings)
    version = wanted_version(views, settings.view_version)
    name = changelog(version.view_version).name
    topics |= cluster.topics([name])
    if name not in topics:
        raise Refusal(
            f"there is no topic {name}; it was deleted: build a new view version: "
            "energy replay start"
        )
    partitions = await _same_partitions(cluster, [READINGS.name, QUARANTINE.name, name])
    warnings = _refuse_or_warn(examine_configs(cluster, topics, name, settings.is_local))
    single_batches = SingleBatches(
        _refused_by_configs(cluster, name), is_off=settings.single_batches == "off"
    )
    return Ground(
        view_version=version.view_version,
        partitions=partitions,
        expected_birth=Birth(
            cluster_id=cluster.cluster_id(),
            source_topic=READINGS.name,
            source_topic_id=topics[READINGS.name].topic_id,
            changelog_topic_id=topics[name].topic_id,
            start_offset=-1,
            rules_id=RULES_ID,
        ),
        is_pinned=settings.view_version is not None,
        dropped=frozenset(version.view_version for version in views.in_state("dropped")),
        single_batches=single_batches,
        warnings=warnings,
    )


async def _same_partitions(cluster: Cluster, names: list[str]) -> int:
    """Return how many partitions each of the topics has, the readings first.

    Raises: Refusal where they differ for longer than it takes to grow them.
    """
    deadline = time.monotonic() + GROWTH_SECONDS
    while True:
        topics = cluster.topics(names)
        counts = {name: topics[name].partitions for name in names if name in topics}
        if len(counts) == len(names) and len(set(counts.values())) == 1:
            return counts[names[0]]
        if time.monotonic() > deadline:
            found = ", ".join(f"{name} has {count}" for name, count in counts.items())
            raise Refusal(
                f"the numbers of partitions differ: {found}; give all the same, and the view"
                f" versions what the added ones need: energy topics grow {max(counts.values())}"
            )
        await asyncio.sleep(_PAUSE_SECONDS)


def examine_configs(
    cluster: Cluster, topics: dict[str, TopicOnBroker], changelog_name: str, is_local: bool
) -> list[Finding]:
    """Ask for the configs of topics and brokers, and judge them.

    What this login may not ask for is a finding, not a refusal.
    """
    findings = []
    try:
        configs = cluster.configs(topics)
        totals = {n: c for n, c in configs.items() if n in (READINGS.name, changelog_name)}
        findings += judge_leaders(totals) + judge_keeping(configs, changelog_name)
        if not is_local:
            copies = {name: topic.replication for name, topic in topics.items()}
            findings += judge_copies(copies, configs)
        findings += judge_brokers(cluster.broker_configs())
    except ClusterRefused as error:
        findings.append(Finding(f"configs were not checked: {error}", refuses=False))
    return findings


def _refused_by_configs(cluster: Cluster, changelog_name: str) -> str | None:
    try:
        changelog_configs = cluster.configs([changelog_name]).get(changelog_name, {})
        return refused_by_configs(cluster.broker_configs(), changelog_configs)
    except ClusterRefused as error:
        return f"configs were not shown: {error}"


def _refuse_or_warn(findings: list[Finding]) -> tuple[str, ...]:
    refusing = [finding.line for finding in findings if finding.refuses]
    if refusing:
        raise Refusal("; ".join(refusing))
    for finding in findings:
        log.warning("%s", finding.line)
    return tuple(finding.line for finding in findings)


def wanted_version(views: Views, pinned: int | None) -> ViewVersion:
    """Return the view version to work on: the one pinned, else the live one.

    Raises: ViewDropped; Refusal where there is none, or its totals follow other rules.
    """
    number = views.live if pinned is None else pinned
    if number is None:
        raise Refusal(f"{VIEWS.name} names no live view version; {_CREATE}")
    version = views.versions.get(number)
    if version is None:
        raise Refusal(
            f"{VIEWS.name} knows no view version {number}; `energy replay status` shows which"
            " there are"
        )
    if version.state == "dropped":
        raise ViewDropped(f"view version {number} has been dropped: nothing to do")
    if version.rules_id != RULES_ID:
        raise Refusal(
            f"the totals of view version {number} follow rules {version.rules_id}, this program"
            f" has rules {RULES_ID}; build a new view version: energy replay start"
        )
    return version


def check_wanted(ground: Ground, views: Views) -> None:
    """Check in running that the view version is still the one to work on.

    Raises: ViewDropped, RestartNeeded.
    """
    version = views.versions.get(ground.view_version)
    if version is not None and version.state == "dropped":
        raise ViewDropped(f"view version {ground.view_version} has been dropped")
    if not ground.is_pinned and views.live != ground.view_version:
        raise RestartNeeded(f"view version {views.live} is live now")


def check_unchanged(ground: Ground, cluster: Cluster) -> None:
    """Check in running that the topics are still the ones the totals were made from.

    Raises: Refusal when one was deleted, or deleted and created again; RestartNeeded when there
    are more partitions, which only a start takes in.
    """
    name = changelog(ground.view_version).name
    topics = cluster.topics([READINGS.name, name])
    for topic, topic_id in (
        (READINGS.name, ground.expected_birth.source_topic_id),
        (name, ground.expected_birth.changelog_topic_id),
    ):
        found = topics.get(topic)
        if found is None or found.topic_id != topic_id:
            what = "is gone" if found is None else "was deleted and created again"
            raise Refusal(
                f"the topic {topic} {what}; build a new view version: energy replay start"
            )
    count = topics[READINGS.name].partitions
    if count != ground.partitions:
        raise RestartNeeded(f"{READINGS.name} has {count} partitions now, not {ground.partitions}")
