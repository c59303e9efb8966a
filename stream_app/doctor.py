"""Start-up checks: what the worker stands on, before it touches anything.

Reads the cluster; writes nothing. Each finding is one line that says what to do.
"""

from __future__ import annotations

from typing import NamedTuple

from contract.changelog import Birth
from contract.fold import RULES_ID
from contract.topics import QUARANTINE, READINGS, VIEWS, changelog
from contract.views import Views, ViewVersion
from record_batches.reader import read_all
from stream_app.cluster import Cluster
from stream_app.errors import Refusal, RestartNeeded, ViewDropped
from stream_app.settings import WorkerSettings

_CREATE = "create the topics: energy topics create"


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


async def read_views(settings: WorkerSettings) -> Views:
    """Read the view versions and the pointer."""
    views = Views()
    async for chunk in read_all(settings.for_aiokafka(), VIEWS.name):
        for record in chunk.records:
            views.apply(record.key, record.value)
    return views


async def examine(settings: WorkerSettings, cluster: Cluster) -> Ground:
    """Check the cluster and return what the worker stands on.

    Raises: NoBroker within 10 s; Refusal with what to do.
    """
    cluster.brokers()
    topics = cluster.topics([READINGS.name, QUARANTINE.name, VIEWS.name])
    for topic in (READINGS, QUARANTINE, VIEWS):
        if topic.name not in topics:
            raise Refusal(f"there is no topic {topic.name}; {_CREATE}")
    views = await read_views(settings)
    version = wanted_version(views, settings.view_version)
    name = changelog(version.view_version).name
    topics |= cluster.topics([name])
    if name not in topics:
        raise Refusal(
            f"there is no topic {name}; it was deleted: build a new view version: "
            "energy replay start"
        )
    partitions = topics[READINGS.name].partitions
    for other in (QUARANTINE.name, name):
        if topics[other].partitions != partitions:
            raise Refusal(
                f"{READINGS.name} has {partitions} partitions and {other} has "
                f"{topics[other].partitions}; give {other} as many: energy topics create"
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
    )


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

    Raises: Refusal when one was deleted, or deleted and created again.
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
