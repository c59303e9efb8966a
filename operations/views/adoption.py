"""Finds changelogs that `energy_views` does not know, and takes one of them up again.

Reads: the cluster. Writes: `energy_views`, and only when told which version to take up.
Guarantees: deletes nothing. A changelog may be the only copy of its totals, because readings may
expire once they are counted; so where `energy_views` is lost, whoever begins again is stopped
before a topic is made, and told how to go on with the totals there are.
"""

from __future__ import annotations

import re

from contract.changelog import Birth, Marker
from contract.device_totals import DEVICE_TOTALS
from contract.topics import READINGS, VIEWS
from contract.view_versions import Views, ViewVersion
from kafka_io.cluster import Cluster
from kafka_io.log_reader import read_to_end, reader
from operations.errors import Refused
from operations.views.birth import read_births
from operations.views.markers import read_markers
from operations.views.writer import Change, change_views, pointer_to_write, version_to_write


def version_of(topic: str) -> int | None:
    """Return the view version whose changelog this is, None if it is no changelog."""
    before, after = DEVICE_TOTALS.changelog(0).name.rsplit("v0", 1)
    found = re.fullmatch(f"{re.escape(before)}v([1-9][0-9]{{0,8}}){re.escape(after)}", topic)
    return int(found[1]) if found else None


def unknown_versions(cluster: Cluster, views: Views) -> dict[int, bool]:
    """Return the view versions that have a changelog but no record in `energy_views`.

    Returns: number -> whether the changelog holds records; without any it was only made, by a
    start that was killed then or goes on just now.
    """
    numbers = sorted(filter(None, map(version_of, cluster.topic_names())))
    return {n: _has_records(cluster, n) for n in numbers if n not in views.versions}


def next_number(cluster: Cluster, views: Views) -> int:
    """Return the number of the next version: one that none has had, also none that is unknown."""
    used = [number for number, is_used in unknown_versions(cluster, views).items() if is_used]
    return max(views.next_number(), *(number + 1 for number in used), 1)


def refuse_unknown(cluster: Cluster, views: Views) -> None:
    """Refuse to begin anew beside totals that `energy_views` has lost. Raises: Refused."""
    used = [number for number, is_used in unknown_versions(cluster, views).items() if is_used]
    if not used:
        return
    found = {number: _parts(cluster, number)[1] for number in used}
    # One that was still being built has counted less.
    best = max(used, key=lambda n: (sum(m.applied_offset for m in found[n].values()), n))
    shown = ", ".join(
        f"{DEVICE_TOTALS.changelog(number).name} (counted up to partition:offset"
        f" {_places(markers)})"
        for number, markers in found.items()
    )
    raise Refused(
        f"{VIEWS.name} names no live view version, but there are totals: {shown};"
        f"{_lost_head(cluster)} keep these topics, and go on with the version that was live:"
        f" energy topics create --adopt {best}"
    )


def check_whole(cluster: Cluster, view_version: int) -> ViewVersion:
    """Return what `energy_views` must say of a version to take it up again.

    Raises: Refused: it has no birth or no marker in a partition of the readings topic.
    """
    name = DEVICE_TOTALS.changelog(view_version).name
    present = cluster.topics([READINGS.name, name])
    for topic in (name, READINGS.name):
        if topic not in present:
            raise Refused(f"there is no topic {topic}: view version {view_version} is not whole")
    births, markers = _parts(cluster, view_version)
    whole = births.keys() & markers.keys()
    lacking = [p for p in range(present[READINGS.name].partitions) if p not in whole]
    if lacking:
        raise Refused(
            f"{name} has no birth or no marker in partition {lacking[0]}: it is not whole, and"
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
        raise Refused(f"view version {views.live} is live: nothing has to be taken up again")


def _has_records(cluster: Cluster, view_version: int) -> bool:
    name = DEVICE_TOTALS.changelog(view_version).name
    found = cluster.topics([name])
    starts = dict.fromkeys(range(found[name].partitions if found else 0), 0)
    with reader(cluster.settings) as consumer:
        return any(True for _ in read_to_end(consumer, name, starts))


def _parts(cluster: Cluster, view_version: int) -> tuple[dict[int, Birth], dict[int, Marker]]:
    name = DEVICE_TOTALS.changelog(view_version).name
    partitions = cluster.topics([name])[name].partitions
    return (
        read_births(cluster, DEVICE_TOTALS, view_version, partitions),
        read_markers(cluster, DEVICE_TOTALS, view_version, partitions),
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
