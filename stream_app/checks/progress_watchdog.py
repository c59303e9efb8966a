"""Ends a worker in which a partition applies nothing while what it could read grows.

Each partition is judged on its own, whatever the others do, and by the view that is furthest
behind: a restart is safe, and hands it to another worker. Only where nothing else explains it: not
in a recovery, not while it is set aside, not behind a foreign open transaction (the last stable
offset stands still), not while the broker does not answer. The judgement counts looks, not
seconds: a process that was stopped and continues sees one look, not the time it slept.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import NamedTuple

from contract.topics import READINGS
from kafka_io.cluster import Cluster
from stream_app.errors import RestartNeeded
from stream_app.ownership.all_views import AllViews
from stream_app.process.exit import end_process

log = logging.getLogger(__name__)

#: Looks in a row that must agree.
LOOKS = 24


class Look(NamedTuple):
    """What one look found, by partition that this worker has: applied, and readable up to."""

    generation: int
    applied: Mapping[int, int]
    stable: Mapping[int, int]


class _Still(NamedTuple):
    """Since which look a partition stands still, and how many there were."""

    generation: int
    applied: int
    stable: int
    looks: int


class StuckJudge:
    """Remembers of each partition since which look nothing has been applied."""

    def __init__(self) -> None:
        self._still: dict[int, _Still] = {}

    def forget(self) -> None:
        """Start over: something explains that nothing is applied, or nothing was seen."""
        self._still = {}

    def judge(self, look: Look) -> str | None:
        """Return what is stuck, None while nothing is."""
        still, self._still = self._still, {}
        for partition, applied in look.applied.items():
            stable, since = look.stable[partition], still.get(partition)
            if stable - 1 <= applied:
                continue
            if since is None or (since.generation, since.applied) != (look.generation, applied):
                since = _Still(look.generation, applied, stable, 0)
            self._still[partition] = since._replace(looks=since.looks + 1)
        stuck = [
            f"{partition} at {since.applied} of {look.stable[partition] - 1}"
            for partition, since in sorted(self._still.items())
            if since.looks > LOOKS and look.stable[partition] > since.stable
        ]
        if not stuck:
            return None
        return (
            f"nothing was applied in {LOOKS} looks though there is more to read: partition"
            f" {', '.join(stuck)}"
        )


def look_at(ownership: AllViews, cluster: Cluster, partitions: int) -> Look | None:
    """Look once at what is not set aside; None where something explains that nothing is applied.

    Raises: NoBroker, ClusterRefused.
    """
    found = ownership.applied()
    if ownership.is_recovering or not found:
        return None
    generation = max(each.generation for each in found.values())
    applied = {partition: each.offset for partition, each in found.items()}
    # After `applied`: what is applied meanwhile only makes the next look start over.
    stable = cluster.end_offsets(READINGS.name, partitions, committed=True)
    return Look(generation, applied, {partition: stable[partition] for partition in applied})


async def end_when_stuck(
    ownership: AllViews, cluster: Cluster, partitions: int, seconds: float
) -> None:
    """Look until cancelled; ends the process with 75 after `seconds` of nothing applied."""
    judge = StuckJudge()
    while True:
        await asyncio.sleep(seconds / LOOKS)
        try:
            look = await asyncio.to_thread(look_at, ownership, cluster, partitions)
        except Exception as error:
            log.debug("cannot check the progress now: %s", error)
            look = None
        if look is None:
            judge.forget()
        elif (stuck := judge.judge(look)) is not None:
            end_process("progress", RestartNeeded(stuck))
