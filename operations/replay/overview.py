"""What `energy replay status` shows: the versions, how far the next one is, what changes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from contract.device_totals import DEVICE_TOTALS
from contract.topics import READINGS
from contract.view_versions import ViewVersion
from contract.views import views_of_both
from kafka_io.cluster import Cluster
from operations.replay.comparison import Differences, compare, digest
from operations.replay.positions import ReplayStatus, read_replay
from operations.replay.promotion import behind
from operations.topics.declared import live_views


@dataclass
class Overview:
    """What was found; `differences` has each view that both of the compared versions have.

    Empty: nothing to compare, or it is too far behind.
    """

    view_version: int
    states: dict[int, str]
    replay: ReplayStatus | None
    compared: tuple[int, int] = (0, 0)
    differences: list[Differences] = field(default_factory=list)
    digests: dict[int, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return it as `--json` prints it."""
        found: dict[str, Any] = {
            "view_version": self.view_version,
            "versions": [{"version": n, "state": state} for n, state in self.states.items()],
            "version": None,
            "partitions": [],
            "rate": None,
            "eta_seconds": None,
        }
        if self.replay is not None:
            found |= msgspec.to_builtins(self.replay)
        live, following = self.compared
        compared = [
            {"live": live, "version": following, **_as_json(each)} for each in self.differences
        ]
        # The totals, as before there were other views; then what other views there are.
        found["differences"] = next(iter(compared), None)
        found["differences_of_other_views"] = compared[1:]
        if self.digests:
            found["digests"] = {str(number): sha for number, sha in self.digests.items()}
        return found


def read_overview(cluster: Cluster, home: Path, *, with_digests: bool = False) -> Overview:
    """Ask Kafka for everything. Raises: NoBroker, ClusterRefused, NotReadable, Refused."""
    views, live = live_views(cluster)
    kept = {n: v for n, v in sorted(views.versions.items()) if v.state != "dropped"}
    found = Overview(live, {n: v.state for n, v in kept.items()}, read_replay(cluster, views))
    others = [version for version in kept.values() if version.state != "live"]
    if others:
        # The one being built, if there is one: it has the higher number.
        other = next((v for v in others if v.state == "building"), others[-1])
        partitions = cluster.topics([READINGS.name])[READINGS.name].partitions
        if not _is_far(cluster, kept[live], other):
            found.compared = (live, other.view_version)
            found.differences = [
                compare(cluster, home, view, found.compared, partitions)
                for view in views_of_both(kept[live].rules_id, other.rules_id)
            ]
    if with_digests:
        found.digests = {
            n: digest(cluster, DEVICE_TOTALS, n, v.partitions) for n, v in kept.items()
        }
    return found


def _as_json(found: Differences) -> dict[str, Any]:
    shown: dict[str, Any] = msgspec.to_builtins(found)
    shown["examples"] = [
        {**each.row, "live": each.live, "following": each.following} for each in found.examples
    ]
    return shown


#: So many records behind, the two would not meet at one offset in time; the command says it.
FAR_RECORDS = 100_000


def _is_far(cluster: Cluster, live: ViewVersion, following: ViewVersion) -> bool:
    far = behind(cluster, live, following)
    return sum(b.live_offset - b.applied_offset for b in far) > FAR_RECORDS
