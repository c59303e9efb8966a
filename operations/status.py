"""Reports how far the live view has come, who works on it, and what is wrong.

Reads: Kafka alone, no worker and no API is asked, so it is right when they are dead. Writes:
nothing. Shape: what `energy status --json` prints.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec
from msgspec.structs import replace

from contract.changelog import Marker
from contract.cluster_rules import UNCLEAN, Finding, judge_brokers, judge_leaders
from contract.device_totals import DEVICE_TOTALS
from contract.errors import DoesNotFollow
from contract.freshness import freshness_seconds
from contract.hour_rows import SECONDS_OF_AN_HOUR
from contract.topic_configs import Need
from contract.topics import READINGS, app_id
from contract.view import View
from contract.view_versions import Views, ViewVersion
from contract.views import views_of
from kafka_io.cluster import Cluster
from kafka_io.errors import ClusterRefused
from operations.errors import NO_LIVE_VERSION, Refused
from operations.replay.positions import ReplayStatus, read_replay
from operations.settings import TopicSettings
from operations.topics.declared import check, current_views
from operations.unreadable import find_unreadable
from operations.views.birth import verify_births
from operations.views.markers import read_markers
from stream_app.changelog.origin import LostOffsets, removed


class PartitionStatus(msgspec.Struct, frozen=True):
    """One partition of the readings topic, as the live view has applied it."""

    partition: int
    end_offset: int
    applied_offset: int
    lag_records: int
    owner: str | None


class ViewPartition(msgspec.Struct, frozen=True, omit_defaults=True):
    """One partition of a view: what it has applied, and by how much others are ahead of it."""

    partition: int
    applied_offset: int
    #: To the end of the readings.
    lag_records: int
    #: To the totals, which readers see first; 0 even where they are behind it.
    behind_totals: int
    #: What is older is added up in one sum of each device and location; None, and then not in the
    #: JSON: all is kept.
    cutoff: str | None = None


class ViewStatus(msgspec.Struct, frozen=True):
    """One view of the live version: its changelog, and how far it is."""

    view: str
    topic: str
    partitions: list[ViewPartition]


class Status(msgspec.Struct, frozen=True):
    """The whole of `energy status`; `view_version` None: no view is live yet.

    `partitions` are those of the totals; `views` has them too, and the other views.
    """

    view_version: int | None
    freshness_seconds: float | None
    partitions: list[PartitionStatus]
    #: The view version that is being built, if there is one.
    replay: ReplayStatus | None
    problems: list[str]
    views: list[ViewStatus] = []


def read_status(cluster: Cluster, settings: TopicSettings, now_ms: int) -> Status:
    """Ask Kafka for everything. Raises: NoBroker, ClusterRefused, NotReadable."""
    cluster.brokers()
    problems = [finding.line for finding in _unsafe(cluster)]
    problems += _differences(cluster, settings)
    views = current_views(cluster)
    if views is None or views.live is None:
        problems.append(NO_LIVE_VERSION)
        return Status(None, None, [], None, problems)
    return replace(
        _of_live(cluster, views, views.live, now_ms, problems),
        replay=read_replay(cluster, views),
    )


def _differences(cluster: Cluster, settings: TopicSettings) -> list[str]:
    """What is not as declared. If our login may not ask, all else is still reported."""
    try:
        found = check(cluster, settings)
    except ClusterRefused as error:
        return [f"topics were not compared with their declarations: {error}"]
    return [
        difference.text
        for difference in found
        # Configs that only affect speed are no problem; `_unsafe` reports leader election.
        if difference.need is not Need.CHECKED and difference.what != UNCLEAN
    ]


def _unsafe(cluster: Cluster) -> list[Finding]:
    """What a worker would refuse to start on; the other configs are compared as declared."""
    views = current_views(cluster)
    names = [
        READINGS.name,
        *(_changelogs(views.versions[views.live]) if views and views.live else []),
    ]
    try:
        findings = judge_leaders(cluster.configs(cluster.topics(names)))
        return findings + judge_brokers(cluster.broker_configs())
    except ClusterRefused as error:
        return [Finding(f"configs were not checked: {error}", refuses=False)]


def _changelogs(version: ViewVersion) -> list[str]:
    return [view.changelog(version.view_version).name for view in views_of(version.rules_id)]


def _of_live(cluster: Cluster, views: Views, live: int, now_ms: int, problems: list[str]) -> Status:
    version = views.versions[live]
    names = [READINGS.name, *_changelogs(version)]
    topics = cluster.topics(names)
    if len(topics) < len(names):
        return Status(live, None, [], None, problems)
    try:
        verify_births(cluster, version)
    except Refused as error:
        problems.append(str(error))
    count = topics[READINGS.name].partitions
    # Asked for before the markers: what is removed after it was counted is no problem.
    firsts = cluster.first_offsets(READINGS.name, count)
    # The totals last: else another view would be behind totals that it could not know of yet.
    markers = {
        view: _markers(cluster, view, live, count, problems)
        for view in reversed(views_of(version.rules_id))
    }
    totals = markers[DEVICE_TOTALS]
    # Asked for after the markers: an end can only have grown, so no lag is ever negative.
    ends = cluster.end_offsets(READINGS.name, count)
    owners = {
        assigned.partition: owner
        for assigned, owner in cluster.owners(app_id(live)).items()
        if assigned.topic == READINGS.name
    }
    partitions = [
        _partition(partition, end, totals.get(partition), owners.get(partition))
        for partition, end in enumerate(ends)
    ]
    problems += [
        f"partition {p.partition}: no worker owns it, {p.lag_records} records are waiting"
        for p in partitions
        if p.owner is None
    ]
    problems += _unread(cluster, firsts, markers)
    age = freshness_seconds((marker.newest_ms for marker in totals.values()), now_ms)
    of_views = [
        ViewStatus(
            view.name,
            view.changelog(live).name,
            [_of_view(markers[view].get(p.partition), p) for p in partitions],
        )
        for view in views_of(version.rules_id)
    ]
    return Status(live, age, partitions, None, problems, of_views)


def _markers(
    cluster: Cluster, view: View, live: int, count: int, problems: list[str]
) -> dict[int, Marker]:
    """Read a view's markers; adds what is wrong with them to `problems`."""
    table = view.changelog(live).name
    stale: dict[int, DoesNotFollow] = {}
    there = min(count, cluster.topics([table])[table].partitions)
    markers = read_markers(cluster, view, live, there, stale)
    problems += [f"partition {p}: {table} has {error}" for p, error in sorted(stale.items())]
    problems += [
        f"partition {partition}: no marker in {table}, none of its readings is counted"
        for partition in range(count)
        if partition not in markers
    ]
    return markers


def _unread(
    cluster: Cluster, firsts: list[int], markers: Mapping[View, Mapping[int, Marker]]
) -> list[str]:
    """Report what the view that is furthest behind has to read next, and cannot."""
    nexts = {
        partition: min(found) + 1
        for partition in range(len(firsts))
        if (found := [of[partition].applied_offset for of in markers.values() if partition in of])
    }
    refusals = [
        removed(partition, LostOffsets(following, firsts[partition] - 1))
        for partition, following in nexts.items()
        if following < firsts[partition]
    ]
    stable = cluster.end_offsets(READINGS.name, len(firsts), committed=True)
    refusals += find_unreadable(
        cluster.settings,
        {
            partition: following
            for partition, following in nexts.items()
            if firsts[partition] <= following < stable[partition]
        },
    )
    return [str(refusal) for refusal in refusals]


def _partition(
    partition: int, end_offset: int, marker: Marker | None, owner: str | None
) -> PartitionStatus:
    applied = marker.applied_offset if marker else -1
    return PartitionStatus(partition, end_offset, applied, end_offset - applied - 1, owner)


def _of_view(marker: Marker | None, totals: PartitionStatus) -> ViewPartition:
    applied = marker.applied_offset if marker else -1
    return ViewPartition(
        totals.partition,
        applied,
        totals.end_offset - applied - 1,
        max(0, totals.applied_offset - applied),
        _cutoff(marker),
    )


def _cutoff(marker: Marker | None) -> str | None:
    if marker is None or not marker.cutoff:
        return None
    moment = datetime.fromtimestamp(marker.cutoff * SECONDS_OF_AN_HOUR, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
