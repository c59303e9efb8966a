"""Ends a worker that applies nothing while what it could read grows; a restart is safe.

Only where nothing else explains it: not in a recovery, not while a partition waits for a named
reason, not behind a foreign open transaction (the last stable offset stands still), not while
the broker does not answer. The judgement counts looks, not seconds: a process that was stopped
and goes on sees one look, not the time it slept.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import NamedTuple

from contract.topics import READINGS
from stream_app.cluster import Cluster
from stream_app.ending import end_process
from stream_app.errors import RestartNeeded
from stream_app.ownership import Ownership

log = logging.getLogger(__name__)

#: Looks in a row that must agree.
LOOKS = 24


class Look(NamedTuple):
    """What one look found, by partition that this worker has: applied, and readable up to."""

    generation: int
    applied: Mapping[int, int]
    stable: Mapping[int, int]


class StuckJudge:
    """Remembers since which look nothing has been applied."""

    def __init__(self) -> None:
        """Begin with no look."""
        self._first: Look | None = None
        self._looks = 0

    def forget(self) -> None:
        """Begin anew: something explains that nothing is applied, or nothing was seen."""
        self._first, self._looks = None, 0

    def judge(self, look: Look) -> str | None:
        """Return what is stuck, None while nothing is."""
        first = self._first
        if (
            first is None
            or (look.generation, look.applied) != (first.generation, first.applied)
            or not self._growing(first, first)
        ):
            self._first, self._looks = look, 1
            return None
        self._looks += 1
        stuck = self._growing(first, look)
        if self._looks <= LOOKS or not any(look.stable[p] > first.stable[p] for p in stuck):
            return None
        named = ", ".join(f"{p} at {look.applied[p]} of {look.stable[p] - 1}" for p in stuck)
        return (
            f"nothing was applied in {LOOKS} looks though there is more to read: partition {named}"
        )

    def _growing(self, first: Look, look: Look) -> list[int]:
        """Partitions that had something to apply then and have it now."""
        return [
            partition
            for partition, applied in sorted(look.applied.items())
            if first.stable[partition] - 1 > applied and look.stable[partition] - 1 > applied
        ]


def look_at(ownership: Ownership, cluster: Cluster, partitions: int) -> Look | None:
    """Look once; None where something explains that nothing is applied.

    Raises: NoBroker, ClusterRefused.
    """
    pipes = dict(ownership.pipes)
    waits = any(pipe.refusal is not None for pipe in pipes.values())
    if ownership.is_recovering or waits or not pipes:
        return None
    applied = {partition: pipe.applied_offset for partition, pipe in pipes.items()}
    generation = next(iter(pipes.values())).generation
    # After `applied`: what is applied meanwhile only makes the next look begin anew.
    stable = cluster.end_offsets(READINGS.name, partitions, committed=True)
    return Look(generation, applied, {partition: stable[partition] for partition in applied})


async def end_when_stuck(
    ownership: Ownership, cluster: Cluster, partitions: int, seconds: float
) -> None:
    """Look until cancelled; ends the process with 75 after `seconds` of nothing applied."""
    judge = StuckJudge()
    while True:
        await asyncio.sleep(seconds / LOOKS)
        try:
            look = await asyncio.to_thread(look_at, ownership, cluster, partitions)
        except Exception as error:
            log.debug("cannot look at the progress now: %s", error)
            look = None
        if look is None:
            judge.forget()
        elif (stuck := judge.judge(look)) is not None:
            end_process("progress", RestartNeeded(stuck))
