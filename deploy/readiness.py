"""Says when a stack serves reads and counts what is written: the three things to wait for.

1. each partition of the readings topic is worked on by one of the workers  (their /metrics)
2. no worker recovers or waits                                             (their /ready)
3. the API has loaded the view                                              (its /ready)
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

from deploy.probes import get, until_ok

_ASK_EVERY_SECONDS = 0.2
#: A worker has this metric of a partition from when it goes on after the partition's marker.
_WORKED_ON = re.compile(r'^stream_app_applied_offset\{partition="([0-9]+)"\}', re.MULTILINE)

Place = tuple[str, int]


async def until_ready(partitions: int, workers: Sequence[Place], api: Place) -> None:
    """Return once all three are so; waits for ever otherwise."""
    while await _worked_on(workers) < set(range(partitions)):  # noqa: ASYNC110 - nor here
        await asyncio.sleep(_ASK_EVERY_SECONDS)
    for place in [*workers, api]:
        await until_ok(*place, "/ready")


async def _worked_on(workers: Sequence[Place]) -> set[int]:
    pages = await asyncio.gather(*(get(*place, "/metrics") for place in workers))
    return {int(number) for _, page in pages for number in _WORKED_ON.findall(page)}
