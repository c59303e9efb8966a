"""Gives the readings topic more partitions, or takes in those that somebody has given it.

Reads and writes: the topics' numbers of partitions, the changelogs, `energy_views`. Guarantees:
each added partition is counted from its first reading; if it is interrupted, run it again.

The order, each step done by an earlier call is passed over:

    1. quarantine and changelogs get as many: workers wait for the readings to follow
    2. each view version is born in the added partitions, start 0, in one fenced transaction
    3. the readings topic gets them, so nothing is in one that is not born yet; workers and API
       take them in by themselves
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec.structs import replace

from contract.changelog import BIRTH_KEY, MARKER_KEY, Birth, Marker, encode_birth, encode_marker
from contract.topics import QUARANTINE, READINGS, VIEWS
from contract.view import View
from contract.view_versions import Views, ViewVersion
from contract.views import views_of
from kafka_io.cluster_changes import ClusterAdmin
from kafka_io.log_reader import read_to_end, reader
from operations.errors import Refused
from operations.topics.declared import live_views
from operations.views.writer import Change, NewRecord, change_views, version_to_write


class Grown(NamedTuple):
    """What `grow` changed: topics, and view versions that were born in more partitions."""

    topics: list[str]
    view_versions: list[int]


def grow(cluster: ClusterAdmin, partitions: int) -> Grown:
    """Bring all up to that many partitions; safe to repeat.

    Raises: Refused where there are more already, or nothing to grow.
    """
    views, _ = live_views(cluster)
    tables = [
        view.changelog(version.view_version).name
        for version in _kept(views)
        for view in views_of(version.rules_id)
    ]
    names = [QUARANTINE.name, *tables, READINGS.name]
    present = cluster.topics(names)
    for name in names:
        if name not in present:
            raise Refused(f"there is no topic {name}; `energy status` says what to do")
        if present[name].partitions > partitions:
            raise Refused(
                f"{name} has {present[name].partitions} partitions, and Kafka cannot remove any:"
                f" energy topics grow {present[name].partitions}"
            )
    grown = [name for name in names if present[name].partitions < partitions]
    for name in grown:
        if name != READINGS.name:
            cluster.grow(name, partitions)
    born = _give_births(cluster, partitions)
    if READINGS.name in grown:
        cluster.grow(READINGS.name, partitions)
    return Grown(grown, born)


def _kept(views: Views) -> list[ViewVersion]:
    return [version for version in views.versions.values() if version.state != "dropped"]


def _lacking(views: Views, partitions: int) -> list[ViewVersion]:
    return [version for version in _kept(views) if version.partitions < partitions]


def _give_births(cluster: ClusterAdmin, partitions: int) -> list[int]:
    born: list[int] = []

    def records(views: Views) -> list[NewRecord]:
        lacking = _lacking(views, partitions)
        born[:] = [version.view_version for version in lacking]
        return [record for version in lacking for record in _births(cluster, version, partitions)]

    _, written = change_views(
        cluster, Change(lambda views: not _lacking(views, partitions), records)
    )
    return born if written else []


def _births(cluster: ClusterAdmin, version: ViewVersion, partitions: int) -> list[NewRecord]:
    """Return birth, then marker, of each added partition, and the version's new number of them."""
    written = [
        record
        for view in views_of(version.rules_id)
        for record in _births_of(cluster, view, version, partitions)
    ]
    return [*written, version_to_write(replace(version, partitions=partitions))]


def _births_of(
    cluster: ClusterAdmin, view: View, version: ViewVersion, partitions: int
) -> list[NewRecord]:
    name = view.changelog(version.view_version).name
    added = range(version.partitions, partitions)
    with reader(cluster.settings) as consumer:
        for record in read_to_end(consumer, name, dict.fromkeys(added, 0)):
            raise Refused(
                f"{name}, partition {record.partition} holds records already, but {VIEWS.name}"
                f" gives view version {version.view_version} only {version.partitions}"
                " partitions; build a new view version: energy replay start"
            )
    topics = cluster.topics([READINGS.name, name])
    birth = Birth(
        cluster_id=cluster.cluster_id(),
        source_topic=READINGS.name,
        source_topic_id=topics[READINGS.name].topic_id,
        changelog_topic_id=topics[name].topic_id,
        start_offset=0,
        rules_id=version.rules_id,
    )
    return [
        NewRecord(name, partition, key, value)
        for partition in added
        for key, value in (
            (BIRTH_KEY, encode_birth(birth)),
            (MARKER_KEY, encode_marker(Marker(-1))),
        )
    ]
