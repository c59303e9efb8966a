"""Says when a stack serves reads and counts what is written: the three things to wait for.

1. each partition of the readings topic is worked on by one of the workers  (their /metrics)
2. no worker recovers                                                       (their /ready)
3. the API has loaded the view                                              (its /ready)

A partition that a worker has set aside holds back nobody: its log says why.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Sequence

from local_stack.probes import get, until_ok

_ASK_EVERY_SECONDS = 0.2
#: A worker has the one metric of a partition from when it continues after the partition's marker,
#: and sets the other where it has set the partition aside.
_SETTLED = re.compile(
    r'^(?:stream_app_applied_offset\{partition="([0-9]+)"\}'
    r'|stream_app_partition_waiting\{partition="([0-9]+)"\} 1\.0$)',
    re.MULTILINE,
)

Place = tuple[str, int]


async def until_ready(partitions: int, workers: Sequence[Place], api: Place) -> None:
    """Return once all three are so; waits forever otherwise."""
    while await _settled(workers) < set(range(partitions)):  # noqa: ASYNC110 - nor here
        await asyncio.sleep(_ASK_EVERY_SECONDS)
    for place in workers:
        while not await _works(place):  # noqa: ASYNC110 - nobody tells us
            await asyncio.sleep(_ASK_EVERY_SECONDS)
    await until_ok(*api, "/ready")


async def _settled(workers: Sequence[Place]) -> set[int]:
    pages = await asyncio.gather(*(get(*place, "/metrics") for place in workers))
    return {int(a or b) for _, page in pages for a, b in _SETTLED.findall(page)}


async def _works(worker: Place) -> bool:
    """Return whether it is ready, but for partitions that it has set aside."""
    status, body = await get(*worker, "/ready")
    if status != 503:
        return status == 200
    try:
        reasons = json.loads(body)["reasons"]
    except (ValueError, KeyError):
        return False
    return all(reason.startswith("partition ") for reason in reasons)
