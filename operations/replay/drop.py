"""Drops a view version: its workers, topic, group and directories; nothing of it stays.

Writes: `energy_views` first, so that whatever is interrupted afterwards can be finished by
running it again. Never touches the readings log or the quarantine.

    1. the version's state is `dropped`: its workers end, the API forgets it
    2. its workers are gone (they look every few seconds)
    3. every writer it may have is fenced: no transaction of it stays open
    4. topic, group and local directories are deleted
"""

from __future__ import annotations

import asyncio
import math
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

from confluent_kafka import KafkaException
from msgspec.structs import replace

from contract.prefix import prefixed
from contract.topics import READINGS, app_id
from contract.view import View
from contract.view_versions import Views, ViewVersion
from contract.views import all_views, views_of
from kafka_io.cluster import Cluster
from kafka_io.cluster_changes import ClusterAdmin
from kafka_io.threads import in_thread
from operations.errors import OperationError, Refused
from operations.progress import OnProgress, no_progress
from operations.views.adoption import changelogs_of
from operations.views.birth import read_births
from operations.views.writer import Change, NewRecord, change_views, fence, version_to_write

#: A worker looks every 2 s and takes up to 10 s to end; one that was killed is forgotten after
#: its session's timeout.
_LEAVE_SECONDS = 20.0
_LOOK_EVERY_SECONDS = 0.2
#: Each writer that is fenced is a client of its own, and may take Kafka some seconds.
_AT_ONCE = 16


class StillInUse(OperationError):
    """A worker still works on the view version; stop it and run this again."""


def kept_directory(home: Path, view_version: int) -> Path:
    """Return where the worker of a version that was live before keeps its stores."""
    return home / prefixed(f"kept-v{view_version}")


def replay_directory(home: Path, view_version: int) -> Path:
    """Return where the replay of a version keeps its workers' stores."""
    return home / prefixed(f"replay-v{view_version}")


def drop(
    cluster: ClusterAdmin, home: Path, view_version: int, on_progress: OnProgress = no_progress
) -> None:
    """Drop a version that is being built, or that was live before. Raises: Refused, StillInUse."""

    def is_done(views: Views) -> bool:
        return views.versions[view_version].state == "dropped"

    def records(views: Views) -> list[NewRecord]:
        version = views.versions[view_version]
        if version.state == "live":
            raise Refused(f"view version {view_version} is live now; it is not dropped")
        return [version_to_write(replace(version, state="dropped"))]

    views, _ = change_views(cluster, Change(is_done, records))
    remove(cluster, home, views.versions[view_version], on_progress)


def remove(
    cluster: ClusterAdmin,
    home: Path,
    version: ViewVersion,
    on_progress: OnProgress = no_progress,
) -> None:
    """Remove what a dropped version left; may be called again.

    `on_progress` gets how many writers are gone, and of how many.
    """
    view_version = version.view_version
    group = app_id(view_version)
    deadline = time.monotonic() + _LEAVE_SECONDS
    while members := cluster.members(group):
        if time.monotonic() > deadline:
            raise StillInUse(
                f"{', '.join(members)} still works on view version {view_version}; stop it and"
                " run this again"
            )
        time.sleep(_LOOK_EVERY_SECONDS)
    # Also a view that it was not born with: a killed start may have made a changelog of it.
    views = {*views_of(version.rules_id), *changelogs_of(cluster, view_version)}
    try:
        asyncio.run(_fence_all(cluster, version, views, on_progress))
    except KafkaException as error:
        raise cluster.failure(error) from error
    cluster.delete_topics([view.changelog(view_version).name for view in views])
    cluster.delete_group(group)
    for directory in _directories(home, view_version):
        shutil.rmtree(directory, ignore_errors=True)


async def _fence_all(
    cluster: Cluster, version: ViewVersion, views: Iterable[View], on_progress: OnProgress
) -> None:
    turns = asyncio.Semaphore(_AT_ONCE)

    async def fence_one(writer: str) -> None:
        async with turns:
            await in_thread(lambda: fence(cluster, writer))

    ending = [
        fence_one(view.transactional_id(version.view_version, partition))
        for view in views
        for partition in range(version.partitions)
    ]
    for done, each in enumerate(asyncio.as_completed(ending), start=1):
        await each
        on_progress(done, len(ending))


def _directories(home: Path, view_version: int) -> list[Path]:
    own = [replay_directory(home, view_version), kept_directory(home, view_version)]
    return [path for path in own if path.exists()] + [
        *home.glob(f"worker-*/{app_id(view_version)}")
    ]


def leftovers(cluster: Cluster, home: Path, views: Views) -> list[int]:
    """Return the dropped versions of which something is still there."""
    names = cluster.topic_names()
    return [
        version.view_version
        for version in views.in_state("dropped")
        if any(view.changelog(version.view_version).name in names for view in all_views())
        or _directories(home, version.view_version)
    ]


def counted_only_by(cluster: Cluster, version: ViewVersion, other: ViewVersion) -> str:
    """Say which readings `version` counts, `other` does not, and the log has no more.

    Returns: partition:offsets, "" where nothing is lost with `version`.
    """
    # All views of a version begin at the same offsets.
    view = views_of(version.rules_id)[0]
    changelog = view.changelog(version.view_version).name
    topics = cluster.topics([READINGS.name, changelog])
    if changelog not in topics:
        return ""
    log = topics.get(READINGS.name)
    first = cluster.first_offsets(READINGS.name, log.partitions) if log else []
    others = read_births(cluster, view, other.view_version, other.partitions)
    lost = []
    births = read_births(cluster, view, version.view_version, version.partitions)
    for partition, born in births.items():
        # What the log and the other version have from here on; inf: nothing of it.
        kept = [math.inf, math.inf]
        if log is not None and log.topic_id == born.source_topic_id and partition < len(first):
            kept[0] = first[partition]
        beside = others.get(partition)
        if beside is not None and beside.source_topic_id == born.source_topic_id:
            kept[1] = beside.start_offset
        if born.start_offset < min(kept):
            end = "" if min(kept) == math.inf else f"{min(kept) - 1:.0f}"
            lost.append(f"{partition}:{born.start_offset}-{end}")
    return ", ".join(lost)
