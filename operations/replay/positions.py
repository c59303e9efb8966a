"""How far a view version that is being built has come: by partition, with rate and ETA.

Reads: the markers of its changelog, its birth records, the ends of the readings log. Asks no
worker, so it is right when they are dead.
"""

from __future__ import annotations

import time

import msgspec

from contract.topics import READINGS
from contract.view_versions import Views, ViewVersion
from contract.views import views_of
from kafka_io.cluster import Cluster
from operations.views.birth import read_births
from operations.views.markers import read_markers

_SAMPLE_SECONDS = 1.0


class ReplayPartition(msgspec.Struct, frozen=True, rename={"from_": "from"}):
    """One partition: where it began, the offset that comes next, the end of the log."""

    partition: int
    from_: int
    at: int
    target: int

    @property
    def share(self) -> float:
        """How much of it is done, 0 to 1."""
        return (self.at - self.from_) / max(1, self.target - self.from_)


class ReplayStatus(msgspec.Struct, frozen=True):
    """A view version that is being built; `eta_seconds` None: it does not move."""

    version: int
    partitions: list[ReplayPartition]
    rate: float
    eta_seconds: float | None

    @property
    def done(self) -> int:
        """How many offsets are applied since the start."""
        return sum(p.at - p.from_ for p in self.partitions)

    @property
    def total(self) -> int:
        """How many there are from the start to the end of the log."""
        return sum(p.target - p.from_ for p in self.partitions)


class Positions:
    """Follows one version that is being built."""

    def __init__(self, cluster: Cluster, version: ViewVersion) -> None:
        self._cluster = cluster
        self._view_version = version.view_version
        self._views = views_of(version.rules_id)
        births = read_births(cluster, self._views[0], version.view_version, version.partitions)
        self._starts = {p: birth.start_offset for p, birth in births.items()}

    def now(self) -> list[ReplayPartition]:
        """Return how far each partition is."""
        count = self._cluster.topics([READINGS.name])[READINGS.name].partitions
        markers = [
            read_markers(self._cluster, view, self._view_version, len(self._starts))
            for view in self._views
        ]
        # Asked for after the markers: nothing is ever beyond its target.
        ends = self._cluster.end_offsets(READINGS.name, count)
        return [
            ReplayPartition(
                partition,
                start := self._starts.get(partition, 0),
                # Of the view that is behind the others.
                min(m[partition].applied_offset + 1 if partition in m else start for m in markers),
                end,
            )
            for partition, end in enumerate(ends)
        ]


def read_replay(cluster: Cluster, views: Views) -> ReplayStatus | None:
    """Look twice, a second apart, so that there is a rate; None: nothing is being built."""
    building = views.in_state("building")
    if not building:
        return None
    version = building[-1]
    positions = Positions(cluster, version)
    before, began = positions.now(), time.monotonic()
    if any(p.at < p.target for p in before):
        time.sleep(_SAMPLE_SECONDS)
    return status_between(version.view_version, before, positions.now(), time.monotonic() - began)


def status_between(
    view_version: int,
    before: list[ReplayPartition],
    after: list[ReplayPartition],
    seconds: float,
) -> ReplayStatus:
    """Put two looks together."""
    moved = sum(p.at for p in after) - sum(p.at for p in before)
    rate = moved / seconds if seconds > 0 else 0.0
    left = sum(p.target - p.at for p in after)
    eta = 0.0 if left <= 0 else left / rate if rate > 0 else None
    return ReplayStatus(view_version, after, rate, eta)
