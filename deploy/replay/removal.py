"""Drops a view version: its workers, topic, group and directories; nothing of it stays.

Writes: `energy_views` first, so that whatever is interrupted afterwards can be finished by
running it again. Never touches the readings log or the quarantine.

    1. the version's state is `dropped`: its workers end, the API forgets it
    2. its workers are gone (they look every few seconds)
    3. every writer it may have is fenced: no transaction of it stays open
    4. topic, group and local directories are deleted
"""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path

from confluent_kafka import KafkaException
from msgspec.structs import replace

from contract.topics import app_id, changelog, transactional_id
from contract.views import Views
from deploy.cluster_admin import ClusterAdmin
from deploy.errors import DeployError, Refused
from deploy.kept_versions import kept_directory
from deploy.views_writer import Change, NewRecord, change_views, fence, version_to_write
from stream_app.cluster import Cluster

#: A worker looks every 2 s and takes up to 10 s to end; one that was killed is forgotten after
#: its session's timeout.
_LEAVE_SECONDS = 20.0
_LOOK_EVERY_SECONDS = 0.2
_CHANGELOG = re.compile(re.escape(changelog(0).name).replace("v0", "v([0-9]+)"))


class StillInUse(DeployError):
    """A worker still works on the view version; stop it and run this again."""


def replay_directory(home: Path, view_version: int) -> Path:
    """Return where the replay of a version keeps its workers' stores."""
    return home / f"replay-v{view_version}"


def drop(cluster: ClusterAdmin, home: Path, view_version: int) -> None:
    """Drop a version that is being built, or that was live before. Raises: Refused, StillInUse."""

    def is_done(views: Views) -> bool:
        return views.versions[view_version].state == "dropped"

    def records(views: Views) -> list[NewRecord]:
        version = views.versions[view_version]
        if version.state == "live":
            raise Refused(f"view version {view_version} is live now; it is not dropped")
        return [version_to_write(replace(version, state="dropped"))]

    views, _ = change_views(cluster, Change(is_done, records))
    remove(cluster, home, view_version, views.versions[view_version].partitions)


def remove(cluster: ClusterAdmin, home: Path, view_version: int, partitions: int) -> None:
    """Remove what a dropped version left; may be called again."""
    group = app_id(view_version)
    deadline = time.monotonic() + _LEAVE_SECONDS
    while members := cluster.members(group):
        if time.monotonic() > deadline:
            raise StillInUse(
                f"{', '.join(members)} still works on view version {view_version}; stop it and"
                " run this again"
            )
        time.sleep(_LOOK_EVERY_SECONDS)
    for partition in range(partitions):
        try:
            fence(cluster, transactional_id(view_version, partition))
        except KafkaException as error:
            raise cluster.failure(error) from error
    cluster.delete_topics([changelog(view_version).name])
    cluster.delete_group(group)
    for directory in _directories(home, view_version):
        shutil.rmtree(directory, ignore_errors=True)


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
        if changelog(version.view_version).name in names or _directories(home, version.view_version)
    ]


def unborn(cluster: Cluster, views: Views) -> list[str]:
    """Return changelogs that a start made and then gave no birth: it was killed in between."""
    return [
        name
        for name in sorted(cluster.topic_names())
        if (found := _CHANGELOG.fullmatch(name)) and int(found[1]) not in views.versions
    ]
