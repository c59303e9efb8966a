"""The gate between two view versions, and the step through it: the pointer.

Reads: the markers of both changelogs, the live one first, so that the other one is never judged
by offsets it could not know of. Writes: `energy_views`, in one transaction. Guarantees: of any
number of terminals and repetitions there is one outcome.
"""

from __future__ import annotations

import time
from typing import NamedTuple

from msgspec.structs import replace

from contract.topics import READINGS
from contract.view_versions import Views, ViewVersion
from contract.views import views_of_both
from kafka_io.cluster import Cluster
from kafka_io.log_reader import read_views
from operations.errors import OperationError, Refused
from operations.replay.drop import counted_only_by
from operations.views.markers import read_markers
from operations.views.writer import (
    Change,
    NewRecord,
    change_views,
    pointer_to_write,
    version_to_write,
)

_LOOK_EVERY_SECONDS = 0.1


class GateShut(OperationError):
    """The view version is behind the live one; wait for it with --wait SECONDS."""


class Behind(NamedTuple):
    """A partition in which the next view has not applied what the live one has."""

    partition: int
    applied_offset: int
    live_offset: int


class Promoted(NamedTuple):
    """What a promotion came to; `was_written` tells whether by this terminal."""

    view_version: int
    former: int
    was_written: bool
    #: Versions that were kept for going back, and now are not any more.
    dropped: list[int]
    #: Those that alone count readings which the log has no more: only a person drops them.
    kept: list[int]


def next_version(views: Views) -> ViewVersion | None:
    """Return the version that `promote` would make live.

    The one being built, else a later one that was live until somebody went back.
    """
    assert views.live is not None
    later = [v for v in views.in_state("previous") if v.view_version > views.live]
    return next(reversed(later + views.in_state("building")), None)


def version_before(views: Views) -> ViewVersion | None:
    """Return the version that `promote --back` would make live again."""
    assert views.live is not None
    before = [v for v in views.in_state("previous") if v.view_version < views.live]
    return next(reversed(before), None)


def behind(cluster: Cluster, live: ViewVersion, following: ViewVersion) -> list[Behind]:
    """Return where `following` has applied less than `live`; empty: it may go.

    Judges each view that both have.

    Raises: NoBroker, ClusterRefused, NotReadable.
    """
    partitions = cluster.topics([READINGS.name])[READINGS.name].partitions
    found = []
    for view in views_of_both(live.rules_id, following.rules_id):
        # What is wrong with the live one is no reason not to replace it.
        served = read_markers(cluster, view, live.view_version, partitions, {})
        reached = read_markers(cluster, view, following.view_version, partitions)
        for partition, marker in sorted(served.items()):
            own = reached.get(partition)
            applied = own.applied_offset if own is not None else -1
            if applied < marker.applied_offset:
                found.append(Behind(partition, applied, marker.applied_offset))
    return found


def promote(cluster: Cluster, live: int, following: int, wait_seconds: float) -> Promoted:
    """Wait for the gate, then write the pointer. Raises: GateShut, Refused."""
    deadline = time.monotonic() + wait_seconds
    while True:
        # A faster terminal may have promoted it already, or dropped it.
        views = read_views(cluster.settings)
        if views.live == following:
            return Promoted(following, live, False, [], [])
        _refuse_changed(views, live, following)
        if not (far := behind(cluster, views.versions[live], views.versions[following])):
            break
        if time.monotonic() >= deadline:
            raise GateShut(_how_far(following, far))
        time.sleep(_LOOK_EVERY_SECONDS)
    dropped: list[int] = []
    kept: list[int] = []

    def records(views: Views) -> list[NewRecord]:
        _refuse_changed(views, live, following)
        new = views.versions[following]
        older = [v for v in views.in_state("previous") if v.view_version != following]
        # Built again: another writer may have fenced an attempt before this one.
        kept[:] = [v.view_version for v in older if counted_only_by(cluster, v, new)]
        dropped[:] = [v.view_version for v in older if v.view_version not in kept]
        return [
            version_to_write(replace(new, state="live")),
            version_to_write(replace(views.versions[live], state="previous")),
            *(version_to_write(replace(views.versions[n], state="dropped")) for n in dropped),
            pointer_to_write(following),
        ]

    _, was_written = change_views(cluster, Change(lambda views: views.live == following, records))
    if not was_written:
        return Promoted(following, live, False, [], [])
    return Promoted(following, live, True, dropped, kept)


def _refuse_changed(views: Views, live: int, following: int) -> None:
    """Refuse what was overtaken by another terminal."""
    version = views.versions.get(following)
    if version is None or version.state == "dropped":
        raise Refused(f"view version {following} has been dropped; there is nothing to promote")
    if views.live != live:
        raise Refused(
            f"view version {views.live} became live meanwhile; look at `energy replay status`,"
            " then run it again"
        )


def _how_far(following: int, far: list[Behind]) -> str:
    places = ", ".join(
        f"partition {b.partition} is at {b.applied_offset}, live at {b.live_offset}" for b in far
    )
    missing = sum(b.live_offset - b.applied_offset for b in far)
    return (
        f"view version {following} is {missing:,} records behind the live one ({places});"
        " --wait SECONDS waits for it"
    )
