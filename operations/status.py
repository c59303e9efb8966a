"""Tells how far the live view has come, who works on it, and what is wrong.

Reads: Kafka alone, no worker and no API is asked, so it is right when they are dead. Writes:
nothing. Shape: what `energy status --json` prints.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from contract.changelog import Marker
from contract.cluster_rules import Finding, judge_brokers, judge_leaders
from contract.device_totals import DEVICE_TOTALS
from contract.errors import DoesNotFollow
from contract.freshness import freshness_seconds
from contract.topics import READINGS, app_id
from contract.view_versions import Views
from kafka_io.cluster import Cluster
from kafka_io.errors import ClusterRefused
from operations.errors import Refused
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


class Status(msgspec.Struct, frozen=True):
    """The whole of `energy status`; `view_version` None: no view is live yet."""

    view_version: int | None
    freshness_seconds: float | None
    partitions: list[PartitionStatus]
    #: The view version that is being built, if there is one.
    replay: ReplayStatus | None
    problems: list[str]


def read_status(cluster: Cluster, settings: TopicSettings, now_ms: int) -> Status:
    """Ask Kafka for everything. Raises: NoBroker, ClusterRefused, NotReadable."""
    cluster.brokers()
    problems = [finding.line for finding in _unsafe(cluster)]
    problems += _differences(cluster, settings)
    views = current_views(cluster)
    if views is None or views.live is None:
        problems.append("no view version is live; run `energy topics create`")
        return Status(None, None, [], None, problems)
    return replace(
        _of_live(cluster, views, views.live, now_ms, problems),
        replay=read_replay(cluster, views),
    )


def _differences(cluster: Cluster, settings: TopicSettings) -> list[str]:
    """What is not as declared. A login without the right to ask is no reason to tell nothing."""
    try:
        found = check(cluster, settings)
    except ClusterRefused as error:
        return [f"topics were not compared with what is declared: {error}"]
    return [
        f"{difference.topic}: {difference.what} is {difference.found or 'missing'}, declared is"
        f" {difference.declared}"
        for difference in found
    ]


def _unsafe(cluster: Cluster) -> list[Finding]:
    """What a worker would refuse to start on; the other configs are compared as declared."""
    views = current_views(cluster)
    names = [
        READINGS.name,
        *([DEVICE_TOTALS.changelog(views.live).name] if views and views.live else []),
    ]
    try:
        findings = judge_leaders(cluster.configs(cluster.topics(names)))
        return findings + judge_brokers(cluster.broker_configs())
    except ClusterRefused as error:
        return [Finding(f"configs were not checked: {error}", refuses=False)]


def _of_live(cluster: Cluster, views: Views, live: int, now_ms: int, problems: list[str]) -> Status:
    table = DEVICE_TOTALS.changelog(live).name
    topics = cluster.topics([READINGS.name, table])
    if len(topics) < 2:
        return Status(live, None, [], None, problems)
    try:
        verify_births(cluster, views.versions[live])
    except Refused as error:
        problems.append(str(error))
    count = topics[READINGS.name].partitions
    # Asked for before the markers: what is removed after it was counted is no problem.
    firsts = cluster.first_offsets(READINGS.name, count)
    stale: dict[int, DoesNotFollow] = {}
    markers = read_markers(
        cluster, DEVICE_TOTALS, live, min(count, topics[table].partitions), stale
    )
    problems += [f"partition {p}: {table} has {error}" for p, error in sorted(stale.items())]
    # Asked for after the markers: an end can only have grown, so no lag is ever negative.
    ends = cluster.end_offsets(READINGS.name, count)
    owners = {
        assigned.partition: owner
        for assigned, owner in cluster.owners(app_id(live)).items()
        if assigned.topic == READINGS.name
    }
    partitions = [
        _partition(partition, end, markers.get(partition), owners.get(partition))
        for partition, end in enumerate(ends)
    ]
    problems += [
        f"partition {p.partition}: no worker has it, {p.lag_records} records wait"
        for p in partitions
        if p.owner is None
    ]
    refusals = [
        removed(partition, LostOffsets(marker.applied_offset + 1, firsts[partition] - 1))
        for partition, marker in sorted(markers.items())
        if marker.applied_offset + 1 < firsts[partition]
    ]
    stable = cluster.end_offsets(READINGS.name, count, committed=True)
    refusals += find_unreadable(
        cluster.settings,
        {
            partition: marker.applied_offset + 1
            for partition, marker in markers.items()
            if firsts[partition] <= marker.applied_offset + 1 < stable[partition]
        },
    )
    problems += [str(refusal) for refusal in refusals]
    problems += [
        f"partition {partition}: no marker in {table}, nothing of it is counted"
        for partition in range(count)
        if partition not in markers
    ]
    age = freshness_seconds((marker.newest_ms for marker in markers.values()), now_ms)
    return Status(live, age, partitions, None, problems)


def _partition(
    partition: int, end_offset: int, marker: Marker | None, owner: str | None
) -> PartitionStatus:
    applied = marker.applied_offset if marker else -1
    return PartitionStatus(partition, end_offset, applied, end_offset - applied - 1, owner)
