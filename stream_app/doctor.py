"""Start-up checks: what the worker stands on, before it touches anything.

Reads the cluster; writes nothing. Each finding is one line that says what to do.
"""

from __future__ import annotations

from typing import NamedTuple

from contract.changelog import Birth
from contract.fold import RULES_ID
from contract.topics import QUARANTINE, READINGS, VIEWS, changelog
from contract.views import Views
from record_batches.reader import read_all
from stream_app.cluster import Cluster
from stream_app.errors import Refusal
from stream_app.settings import WorkerSettings

_CREATE = "create the topics: energy topics create"


class Ground(NamedTuple):
    """What a worker stands on.

    `expected_birth` is what a birth record must say; its start offset means nothing.
    """

    view_version: int
    partitions: int
    expected_birth: Birth


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
    if views.live is None:
        raise Refusal(f"{VIEWS.name} names no live view version; {_CREATE}")
    name = changelog(views.live).name
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
        view_version=views.live,
        partitions=partitions,
        expected_birth=Birth(
            cluster_id=cluster.cluster_id(),
            source_topic=READINGS.name,
            source_topic_id=topics[READINGS.name].topic_id,
            changelog_topic_id=topics[name].topic_id,
            start_offset=-1,
            rules_id=RULES_ID,
        ),
    )


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
