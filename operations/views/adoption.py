"""Finds changelogs that `energy_views` does not know, and takes one of them up again.

Reads: the cluster. Writes: `energy_views`, and only when the caller names the version to take up.
Guarantees: deletes nothing. A changelog may be the only copy of its totals, because readings may
expire once they are counted; so where `energy_views` is lost, a new start is refused before
it makes a topic, with how to continue with the totals that exist.
"""

from __future__ import annotations

import re

from msgspec.structs import replace

from contract.changelog import Birth, Marker
from contract.topics import READINGS, VIEWS
from contract.view import View
from contract.view_versions import Views, ViewVersion
from contract.views import all_views, views_of
from kafka_io.cluster import Cluster
from kafka_io.log_reader import read_to_end, reader
from operations.errors import Refused
from operations.views.birth import read_births
from operations.views.markers import read_markers
from operations.views.writer import Change, change_views, pointer_to_write, version_to_write


def version_of(topic: str) -> int | None:
    """Return the view version whose changelog this is, None if it is no changelog."""
    for view in all_views():
        before, after = view.changelog(0).name.rsplit("v0", 1)
        if found := re.fullmatch(
            f"{re.escape(before)}v([1-9][0-9]{{0,8}}){re.escape(after)}", topic
        ):
            return int(found[1])
    return None


def changelogs_of(cluster: Cluster, view_version: int) -> dict[View, str]:
    """Return the changelogs that a view version has on the cluster, by view."""
    names = {view: view.changelog(view_version).name for view in all_views()}
    present = cluster.topics(list(names.values()))
    return {view: name for view, name in names.items() if name in present}


def unknown_versions(cluster: Cluster, views: Views) -> dict[int, bool]:
    """Return the view versions that have a changelog but no record in `energy_views`.

    Returns: number -> whether a changelog of it holds records; without any it was only made, by
    a start that was killed then or continues just now.
    """
    numbers = sorted(set(filter(None, map(version_of, cluster.topic_names()))))
    return {n: _has_records(cluster, n) for n in numbers if n not in views.versions}


def next_number(cluster: Cluster, views: Views) -> int:
    """Return the number of the next version: one that none has had, also none that is unknown."""
    used = [number for number, is_used in unknown_versions(cluster, views).items() if is_used]
    return max(views.next_number(), *(number + 1 for number in used), 1)


def refuse_unknown(cluster: Cluster, views: Views) -> None:
    """Refuse to start over beside totals that `energy_views` has lost. Raises: Refused."""
    used = [number for number, is_used in unknown_versions(cluster, views).items() if is_used]
    if not used:
        return
    found = {
        name: (number, _parts(cluster, view, number)[1])
        for number in used
        for view, name in changelogs_of(cluster, number).items()
    }
    # One that was still being built has counted less.
    best, _ = max(
        found.values(), key=lambda of: (sum(m.applied_offset for m in of[1].values()), of[0])
    )
    shown = ", ".join(
        f"{name} (counted up to partition:offset {_places(markers)})"
        for name, (_, markers) in found.items()
    )
    raise Refused(
        f"{VIEWS.name} names no live view version, but totals exist: {shown};"
        f"{_lost_head(cluster)} keep these topics, and continue with the version that was live:"
        f" energy topics create --adopt {best}"
    )


def check_whole(cluster: Cluster, view_version: int) -> ViewVersion:
    """Return what `energy_views` must say of a version to take it up again.

    Raises: Refused: it has no birth or no marker in a partition of the readings topic.
    """
    # Every version has the first view; its births there say which others it has.
    first = all_views()[0]
    version = _check_whole(cluster, first, view_version)
    for view in views_of(version.rules_id):
        if view is not first:
            partitions = _check_whole(cluster, view, view_version).partitions
            version = replace(version, partitions=min(version.partitions, partitions))
    return version


def _check_whole(cluster: Cluster, view: View, view_version: int) -> ViewVersion:
    name = view.changelog(view_version).name
    present = cluster.topics([READINGS.name, name])
    for topic in (name, READINGS.name):
        if topic not in present:
            raise Refused(f"there is no topic {topic}: view version {view_version} is incomplete")
    births, markers = _parts(cluster, view, view_version)
    whole = births.keys() & markers.keys()
    lacking = [p for p in range(present[READINGS.name].partitions) if p not in whole]
    if lacking:
        raise Refused(
            f"{name} has no birth or no marker in partition {lacking[0]}: it is incomplete and"
            " would serve smaller totals"
        )
    partitions = next(p for p in range(len(whole) + 1) if p not in whole)
    return ViewVersion(view_version, "live", partitions, births[0].rules_id)


def adopt(cluster: Cluster, view_version: int) -> None:
    """Make a version that `energy_views` has lost live again. Raises: Refused."""
    version = check_whole(cluster, view_version)
    views, _ = change_views(
        cluster,
        Change(
            lambda views: views.live is not None,
            lambda views: [version_to_write(version), pointer_to_write(view_version)],
        ),
    )
    if views.live != view_version:
        raise Refused(f"view version {views.live} is live: there is nothing to adopt")


def _has_records(cluster: Cluster, view_version: int) -> bool:
    names = list(changelogs_of(cluster, view_version).values())
    partitions = {name: topic.partitions for name, topic in cluster.topics(names).items()}
    with reader(cluster.settings) as consumer:
        return any(
            True
            for name in names
            for _ in read_to_end(consumer, name, dict.fromkeys(range(partitions[name]), 0))
        )


def _parts(
    cluster: Cluster, view: View, view_version: int
) -> tuple[dict[int, Birth], dict[int, Marker]]:
    name = view.changelog(view_version).name
    partitions = cluster.topics([name])[name].partitions
    return (
        read_births(cluster, view, view_version, partitions),
        read_markers(cluster, view, view_version, partitions),
    )


def _places(markers: dict[int, Marker]) -> str:
    return ",".join(f"{p}:{marker.applied_offset}" for p, marker in sorted(markers.items()))


def _lost_head(cluster: Cluster) -> str:
    """Say that the totals cannot be computed again, where that is so."""
    present = cluster.topics([READINGS.name])
    if not present:
        return f" {READINGS.name} is gone, so they are all that is left of its readings;"
    first = cluster.first_offsets(READINGS.name, present[READINGS.name].partitions)
    lost = ", ".join(f"{p}:0-{offset - 1}" for p, offset in enumerate(first) if offset)
    if not lost:
        return ""
    return f" the log has no more the readings at partition:offsets {lost}, they are only in there;"
