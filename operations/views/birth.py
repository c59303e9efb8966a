"""Writes the birth of a view version: what each of its changelog partitions is made from.

Reads: `energy_views`, the changelog. Writes: both, in one transaction that goes through the one
fenced writer of view versions. Guarantees: of any number of terminals one gives birth and all
see its outcome; a changelog partition that holds records is never born again, because a second
marker would make its worker count readings twice.

One transaction holds birth record, then marker, of each partition; version; pointer. Before it
is begun a changelog that is not empty is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from contract.changelog import (
    BIRTH_KEY,
    MARKER_KEY,
    Birth,
    Marker,
    decode_birth,
    encode_birth,
    encode_marker,
)
from contract.topics import READINGS, VIEWS
from contract.view import View
from contract.view_versions import Views, ViewVersion
from contract.views import DEFAULT_RULES, is_known, known_rules, views_of
from kafka_io.cluster import Cluster
from kafka_io.log_reader import read_to_end, read_views, reader
from operations.errors import Refused
from operations.views.writer import (
    Change,
    NewRecord,
    change_views,
    pointer_to_write,
    version_to_write,
)

_CURE = "`energy replay start` builds a new view version from the readings log"


class ViewBirth(NamedTuple):
    """A view version to be born."""

    version: ViewVersion
    #: For each of its views one birth for each partition.
    births: Mapping[View, list[Birth]]


def ensure_first_view(
    cluster: Cluster,
    view_version: int,
    *,
    rules_id: str = DEFAULT_RULES,
    accept_partial: bool = False,
) -> tuple[Views, bool]:
    """Give birth to the first view version if none is live, else check the live one's births.

    A live one continues under the rules that it was born under.

    Returns: (view versions as they are now, whether this call wrote the birth).
    Raises: Refused: what is there does not fit, or the head of the log is gone and that was
    not accepted.
    """
    views = read_views(cluster.settings)
    if views.live is None:
        start_offsets = first_offsets(cluster, accept_partial=accept_partial)
        first = ViewVersion(view_version, "live", len(start_offsets), rules_id)
        views, written = give_birth(cluster, plan(cluster, first, start_offsets))
        if written:
            return views, True
    assert views.live is not None
    verify_births(cluster, views.versions[views.live])
    return views, False


def first_offsets(cluster: Cluster, *, accept_partial: bool) -> list[int]:
    """Return the first offset of each partition of the readings log.

    Raises: Refused: a head of it has been deleted.
    """
    partitions = cluster.topics([READINGS.name])[READINGS.name].partitions
    offsets = cluster.first_offsets(READINGS.name, partitions)
    gone = {partition: offset for partition, offset in enumerate(offsets) if offset > 0}
    if gone and not accept_partial:
        shown = ", ".join(f"{partition}:0-{offset - 1}" for partition, offset in gone.items())
        raise Refused(
            f"the head of {READINGS.name} has been deleted (partition:offsets {shown}): totals"
            " would lack those readings; --accept-partial continues without them"
        )
    return offsets


def plan(cluster: Cluster, version: ViewVersion, start_offsets: Sequence[int]) -> ViewBirth:
    """Put together the births of a view version from the ids the cluster has now.

    Shape: `start_offsets` has one offset for each source partition.
    """
    tables = {
        view: view.changelog(version.view_version).name for view in views_of(version.rules_id)
    }
    topics = cluster.topics([READINGS.name, *tables.values()])
    cluster_id = cluster.cluster_id()
    for table in tables.values():
        if topics[table].partitions < len(start_offsets):
            raise Refused(
                f"{table} has {topics[table].partitions} partitions, {READINGS.name} has"
                f" {len(start_offsets)}: add partitions until both have the same number"
            )
    births = {
        view: [
            Birth(
                cluster_id=cluster_id,
                source_topic=READINGS.name,
                source_topic_id=topics[READINGS.name].topic_id,
                changelog_topic_id=topics[table].topic_id,
                start_offset=start_offset,
                rules_id=version.rules_id,
            )
            for start_offset in start_offsets
        ]
        for view, table in tables.items()
    }
    return ViewBirth(version, births)


def give_birth(cluster: Cluster, birth: ViewBirth) -> tuple[Views, bool]:
    """Write the birth unless somebody else has been here; returns (view versions, written).

    For a first version that is: one is live; for the next: the number is taken, or another one
    is being built.
    """
    version = birth.version

    def is_done(views: Views) -> bool:
        if version.state == "live":
            return version.view_version in views.versions or views.live is not None
        return version.view_version in views.versions or bool(views.in_state(version.state))

    def records(_views: Views) -> list[NewRecord]:
        _refuse_used_changelog(cluster, birth)
        written = _changelog_records(birth)
        written.append(version_to_write(version))
        if version.state == "live":
            written.append(pointer_to_write(version.view_version))
        return written

    return change_views(cluster, Change(is_done, records))


def _changelog_records(birth: ViewBirth) -> list[NewRecord]:
    """Return the records of each partition: birth first, marker last, as in every transaction."""
    return [
        NewRecord(view.changelog(birth.version.view_version).name, partition, key, value)
        for view, births in birth.births.items()
        for partition, born in enumerate(births)
        for key, value in (
            (BIRTH_KEY, encode_birth(born)),
            (MARKER_KEY, encode_marker(Marker(born.start_offset - 1))),
        )
    ]


def _refuse_used_changelog(cluster: Cluster, birth: ViewBirth) -> None:
    for view, births in birth.births.items():
        name = view.changelog(birth.version.view_version).name
        starts = dict.fromkeys(range(len(births)), 0)
        with reader(cluster.settings) as consumer:
            for record in read_to_end(consumer, name, starts):
                raise Refused(
                    f"{name}, partition {record.partition} holds records already, but {VIEWS.name}"
                    f" does not know view version {birth.version.view_version}; keep the topic and"
                    " run it again, which says how to go on with its totals"
                )


def read_births(
    cluster: Cluster, view: View, view_version: int, partitions: int
) -> dict[int, Birth]:
    """Return the birth record of each changelog partition that has one."""
    births: dict[int, Birth] = {}
    starts = dict.fromkeys(range(partitions), 0)
    with reader(cluster.settings) as consumer:
        for record in read_to_end(consumer, view.changelog(view_version).name, starts):
            # The birth is the first record there is (compaction keeps the order), so this
            # stops early; where there is none, the whole partition is looked through.
            if record.key == BIRTH_KEY and record.value is not None:
                births.setdefault(record.partition, decode_birth(record.value))
                if len(births) == partitions:
                    break
    return births


def verify_births(cluster: Cluster, version: ViewVersion) -> None:
    """Check that this build can work on a view version, and that its topics are those it had.

    Raises: Refused that says what was made again, and what to do.
    """
    if not is_known(version.rules_id):
        raise Refused(
            f"view version {version.view_version}: its totals follow rules {version.rules_id},"
            f" this program has rules {known_rules()}; {_CURE}"
        )
    for view in views_of(version.rules_id):
        _verify_births(cluster, view, version)


def _verify_births(cluster: Cluster, view: View, version: ViewVersion) -> None:
    name = view.changelog(version.view_version).name
    topics = cluster.topics([READINGS.name, name])
    if name not in topics:
        raise Refused(f"view version {version.view_version}: {name} is gone; {_CURE}")
    births = read_births(cluster, view, version.view_version, version.partitions)
    for partition in range(version.partitions):
        born = births.get(partition)
        place = f"view version {version.view_version}, partition {partition}"
        if born is None or born.changelog_topic_id != topics[name].topic_id:
            raise Refused(f"{place}: {name} was deleted and created again; {_CURE}")
        if born.source_topic_id != topics[READINGS.name].topic_id:
            raise Refused(f"{place}: {READINGS.name} was deleted and created again; {_CURE}")
        if born.cluster_id != cluster.cluster_id():
            raise Refused(f"{place}: was born on another cluster, {born.cluster_id}; {_CURE}")
        if born.rules_id != version.rules_id:
            raise Refused(
                f"{place}: {name} was born under rules {born.rules_id}, the view version under"
                f" rules {version.rules_id}; {_CURE}"
            )
