"""Start-up checks: what the worker relies on, before it touches anything.

Reads the cluster; writes nothing. Each finding is one line that says what to do.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import NamedTuple

from aiokafka.errors import BrokerResponseError, KafkaError

from contract.changelog import Birth
from contract.cluster_rules import Finding
from contract.topics import QUARANTINE, READINGS, VIEWS
from contract.view import View
from contract.view_versions import Views, ViewVersion
from contract.views import is_known, known_rules, views_of
from kafka_io.batches.reader import read_all
from kafka_io.cluster import Cluster, TopicOnBroker
from kafka_io.errors import ClusterRefused
from kafka_io.questions import no_broker
from kafka_io.rights import read, refusal
from stream_app.changelog.single_batches import SingleBatches, refused_by_configs
from stream_app.checks.certainty import certainly
from stream_app.checks.examination import Topics, configs_seen, examine_configs, refuse_or_warn
from stream_app.checks.rights import of_every_version, rights_needed
from stream_app.errors import Refusal, RestartNeeded, Suspicion, ViewDropped
from stream_app.settings import WorkerSettings

log = logging.getLogger(__name__)


_CREATE = "create the topics: energy topics create"


class Basis(NamedTuple):
    """What a worker relies on.

    `expected_births` are what the birth records of each view must say; their start offset means
    nothing. A pinned worker stays on its view version, the others follow the live one.
    """

    view_version: int
    partitions: int
    expected_births: Mapping[View, Birth]
    is_pinned: bool = False
    dropped: frozenset[int] = frozenset()
    #: Whether a commit may be a single batch in place of a transaction; probed at a takeover.
    single_batches: SingleBatches = SingleBatches("nobody has looked")
    #: What is at risk though totals are right, one line each.
    warnings: tuple[str, ...] = ()
    #: None where there was no quarantine topic.
    quarantine_id: str | None = None

    @property
    def views(self) -> tuple[View, ...]:
        """The views of the version."""
        return tuple(self.expected_births)

    @property
    def changelogs(self) -> list[str]:
        """The names of their changelog topics."""
        return [view.changelog(self.view_version).name for view in self.expected_births]


async def read_views(settings: WorkerSettings) -> Views:
    """Read the view versions and the pointer. Raises: NoBroker, ClusterRefused."""
    views = Views()
    try:
        async for chunk in read_all(settings.for_aiokafka(), VIEWS.name):
            for record in chunk.records:
                views.apply(record.key, record.value)
    except BrokerResponseError as error:
        if (missing := refusal(error, [read(VIEWS.name)])) is not None:
            raise missing from error
        raise ClusterRefused(f"reading {VIEWS.name}: {error}") from error
    except KafkaError as error:
        raise no_broker(settings, str(error)) from error
    return views


async def examine(settings: WorkerSettings, cluster: Cluster) -> Basis:
    """Check the cluster and return what the worker relies on.

    Raises: NoBroker within 10 s; Refusal with what to do.
    """
    return await certainly(lambda: _examine(settings, cluster))


async def _examine(settings: WorkerSettings, cluster: Cluster) -> Basis:
    cluster.brokers()
    cluster.refuse_lacking(of_every_version())
    topics: dict[str, TopicOnBroker] = cluster.topics([READINGS.name, QUARANTINE.name, VIEWS.name])
    for topic in (READINGS, VIEWS):
        if topic.name not in topics:
            raise Suspicion(f"there is no topic {topic.name}{settings.in_sight}; {_CREATE}")
    views = await read_views(settings)
    version = wanted_version(views, settings.view_version)
    changelogs = _changelogs(version)
    topics |= cluster.topics(list(changelogs.values()))
    for name in changelogs.values():
        if name not in topics:
            raise Suspicion(
                f"there is no topic {name}; it was deleted: build a new view version: "
                "energy replay start"
            )
    cluster.refuse_lacking(rights_needed(version.view_version, changelogs.values()))
    seen = configs_seen(cluster, topics)
    quarantine, cluster_id = topics.get(QUARANTINE.name), cluster.cluster_id()
    basis = Basis(
        view_version=version.view_version,
        partitions=partitions_of(version, topics),
        expected_births={
            view: Birth(
                cluster_id=cluster_id,
                source_topic=READINGS.name,
                source_topic_id=topics[READINGS.name].topic_id,
                changelog_topic_id=topics[name].topic_id,
                start_offset=-1,
                rules_id=version.rules_id,
            )
            for view, name in changelogs.items()
        },
        is_pinned=settings.view_version is not None,
        dropped=frozenset(version.view_version for version in views.in_state("dropped")),
        single_batches=SingleBatches(
            refused_by_configs(seen.brokers, seen.of(list(changelogs.values()))),
            is_off=settings.single_batches == "off",
        ),
        quarantine_id=quarantine.topic_id if quarantine else None,
    )
    findings = examine_configs(seen, topics, basis.changelogs, settings)
    warnings = refuse_or_warn(findings + examine_topics(basis, topics))
    for line in warnings:
        log.warning("%s", line)
    return basis._replace(warnings=warnings)


def partitions_of(version: ViewVersion, topics: Topics) -> int:
    """Return in how many partitions the view version counts: those in which it was born.

    Partitions that somebody has added are not among them until `energy topics grow` has run.
    """
    names = READINGS.name, *_changelogs(version).values()
    return min(version.partitions, *(topics[name].partitions for name in names))


def _changelogs(version: ViewVersion) -> dict[View, str]:
    return {v: v.changelog(version.view_version).name for v in views_of(version.rules_id)}


def examine_topics(basis: Basis, topics: Topics) -> list[Finding]:
    """Judge the topics that are there: partitions nobody counts, a quarantine that has changed."""
    findings = []
    count = topics[READINGS.name].partitions
    if count > basis.partitions:
        findings.append(
            f"{READINGS.name} has {count} partitions, view version {basis.view_version} counts"
            f" {basis.partitions} of them: the others are not counted: energy topics grow {count}"
        )
    quarantine = topics.get(QUARANTINE.name)
    if quarantine is None:
        findings.append(
            f"there is no topic {QUARANTINE.name}: partitions with invalid records wait; {_CREATE}"
        )
    elif quarantine.partitions < basis.partitions:
        findings.append(
            f"{QUARANTINE.name} has {quarantine.partitions} partitions: from"
            f" {quarantine.partitions} on those with invalid records wait: energy topics grow"
            f" {basis.partitions}"
        )
    if quarantine and basis.quarantine_id not in (None, quarantine.topic_id):
        findings.append(
            f"{QUARANTINE.name} was deleted and created again: what it held is gone"
            " (energy replay start quarantines it again, in a new view version)"
        )
    return [Finding(line, refuses=False) for line in findings]


def wanted_version(views: Views, pinned: int | None) -> ViewVersion:
    """Return the view version to work on: the one pinned, else the live one.

    Raises: ViewDropped; Refusal where there is none, or its totals follow other rules.
    """
    number = views.live if pinned is None else pinned
    if number is None:
        raise Suspicion(f"{VIEWS.name} names no live view version; {_CREATE}")
    version = views.versions.get(number)
    if version is None:
        raise Suspicion(
            f"{VIEWS.name} knows no view version {number}; `energy replay status` shows which"
            " there are"
        )
    if version.state == "dropped":
        raise ViewDropped(f"view version {number} has been dropped: nothing to do")
    if not is_known(version.rules_id):
        raise Refusal(
            f"the totals of view version {number} follow rules {version.rules_id}, this program"
            f" has rules {known_rules()}; build a new view version: energy replay start"
        )
    return version


def check_wanted(basis: Basis, views: Views) -> None:
    """Check in running that the view version is still the one to work on.

    Raises: ViewDropped, RestartNeeded; Suspicion where nothing is said about it, which proves
    nothing.
    """
    version = views.versions.get(basis.view_version)
    if version is None or (views.live is None and not basis.is_pinned):
        raise Suspicion(
            f"{VIEWS.name} says nothing of view version {basis.view_version}; {_CREATE}"
        )
    if version.state == "dropped":
        raise ViewDropped(f"view version {basis.view_version} has been dropped")
    if not basis.is_pinned and views.live != basis.view_version:
        raise RestartNeeded(f"view version {views.live} is live now")


def topics_of(basis: Basis, cluster: Cluster) -> Topics:
    """Ask for the topics that a worker needs."""
    return cluster.topics([READINGS.name, *basis.changelogs, QUARANTINE.name])


def check_unchanged(basis: Basis, topics: Topics) -> None:
    """Check in running that the topics are still the ones the totals were made from.

    Raises: Suspicion when one is gone, or was deleted and created again.
    """
    wanted = {}
    for view, birth in basis.expected_births.items():
        wanted[READINGS.name] = birth.source_topic_id
        wanted[view.changelog(basis.view_version).name] = birth.changelog_topic_id
    for topic, topic_id in wanted.items():
        found = topics.get(topic)
        if found is None or found.topic_id != topic_id:
            what = "is gone" if found is None else "was deleted and created again"
            raise Suspicion(
                f"the topic {topic} {what}; build a new view version: energy replay start"
            )


def check_growth(basis: Basis, views: Views, topics: Topics) -> None:
    """Raise RestartNeeded when the view version counts more partitions: a start takes them in."""
    count = partitions_of(views.versions[basis.view_version], topics)
    if count > basis.partitions:
        raise RestartNeeded(f"{READINGS.name} has {count} partitions now, not {basis.partitions}")
