"""Begins the next view version, or goes on with the one that is being built.

Writes: its changelog topic, then its birth. Guarantees: nothing of the live version is touched;
a start that was killed in between is finished by the next one.
"""

from __future__ import annotations

from contract.topics import VIEWS, app_id
from contract.view_versions import ViewVersion
from contract.views import RULES_ID, views_of
from kafka_io.cluster_changes import ClusterAdmin
from kafka_io.log_reader import read_views
from operations.errors import Refused
from operations.named_offsets import EARLIEST, start_offsets
from operations.settings import TopicSettings
from operations.topics.declared import create_changelogs
from operations.views.adoption import next_number
from operations.views.birth import give_birth, plan, read_births, verify_births


def begin(
    cluster: ClusterAdmin, settings: TopicSettings, begin_at: str | None, *, accept_partial: bool
) -> tuple[ViewVersion, bool]:
    """Return the version to build, and whether it is new.

    Raises: Refused: none is live, readings would be left out, or the one that is being built
    is another one than asked for.
    """
    cluster.brokers()
    while True:
        views = read_views(cluster.settings) if VIEWS.name in cluster.topic_names() else None
        if views is None or views.live is None:
            raise Refused("no view version is live yet; `energy topics create` makes the first")
        if building := views.in_state("building"):
            version = building[-1]
            _verify(cluster, version, begin_at, accept_partial=accept_partial)
            return version, False
        starts = start_offsets(cluster, begin_at or EARLIEST, accept_partial=accept_partial)
        number = next_number(cluster, views)
        create_changelogs(cluster, settings, number, len(starts))
        born, was_written = give_birth(cluster, plan(cluster, number, starts, "building"))
        if was_written:
            return born.versions[number], True


def _verify(
    cluster: ClusterAdmin, version: ViewVersion, begin_at: str | None, *, accept_partial: bool
) -> None:
    """Check that what is being built is what was asked for."""
    number = version.view_version
    cure = f"`energy replay abort` drops view version {number}"
    if version.rules_id != RULES_ID:
        raise Refused(
            f"view version {number} is being built with rules {version.rules_id}, this program"
            f" has rules {RULES_ID}; {cure}"
        )
    verify_births(cluster, version)
    if begin_at is None:
        return
    births = read_births(cluster, views_of(version.rules_id)[0], number, version.partitions)
    began = [births[partition].start_offset for partition in range(version.partitions)]
    asked = start_offsets(cluster, begin_at, accept_partial=accept_partial)
    if asked != began:
        shown = ",".join(f"{partition}:{offset}" for partition, offset in enumerate(began))
        raise Refused(f"view version {number} is being built from {shown}; {cure}")


def refuse_a_second(cluster: ClusterAdmin, version: ViewVersion, others: list[str]) -> None:
    """Refuse to build what workers of another terminal build."""
    if others:
        raise Refused(
            f"{', '.join(others)} builds view version {version.view_version} already (group"
            f" {app_id(version.view_version)}); stop it first"
        )
