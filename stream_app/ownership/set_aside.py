"""Partitions that are set aside: shown in log and metrics, and tried again.

They are tried again after 1, 2, 4 ... 60 seconds where Kafka may take later what it refuses now.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import get_args

from kafka_io.errors import ClusterError
from stream_app import metrics
from stream_app.changelog.takeover import Takeover
from stream_app.errors import Reason

log = logging.getLogger(__name__)

ASK_AGAIN_SECONDS = 5.0
FIRST_SECONDS, LAST_SECONDS = 1.0, 60.0


def show(takeover: Takeover) -> None:
    """Bring log and metrics up to what is set aside."""
    for partition, refusal in takeover.refused.items():
        if takeover.logged.get(partition) != refusal.what:
            takeover.logged[partition] = refusal.what
            log.error("%s: %s", takeover.place(partition), refusal.what)
    for reason in get_args(Reason):
        count = sum(refusal.reason == reason for refusal in takeover.refused.values())
        metrics.PARTITIONS_SET_ASIDE.of(takeover.view, reason).set(count)
    for partition in takeover.partitions:
        metrics.PARTITION_WAITING.of(takeover.view, partition).set(partition in takeover.refused)


def show_none(takeover: Takeover) -> None:
    """Note in the metrics that the partitions are released."""
    for partition in takeover.partitions:
        metrics.PARTITION_WAITING.of(takeover.view, partition).set(0)
    for reason in get_args(Reason):
        metrics.PARTITIONS_SET_ASIDE.of(takeover.view, reason).set(0)


async def leave_if_alone(
    is_so: Callable[[], bool], members: Callable[[], list[str]], leave: Callable[[], None]
) -> None:
    """Leave where nothing can be worked on and nobody else is in the group.

    A worker that is not alone stays: leaving and coming back would cost the others a rebalance each
    time, and it would be missing once the cause is fixed. `members` asks Kafka who is in the
    group; it blocks.
    """
    while is_so():
        try:
            found = await asyncio.to_thread(members)
        except ClusterError as error:
            log.info("cannot check who else works now: %s", error)
            await asyncio.sleep(ASK_AGAIN_SECONDS)
            continue
        if len(found) <= 1 and is_so():
            leave()
        return


class Retries:
    """Schedules the retries of one generation's partitions."""

    def __init__(self, again: Callable[[int], Awaitable[None]]) -> None:
        """`again(partition)` tries once; it plans the next try itself, where one is needed."""
        self._again = again
        #: How many tries in a row, and when the last one was planned.
        self._tries: dict[int, tuple[int, float]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        #: The partitions whose next try is planned: two at once would fence each other.
        self._planned: set[int] = set()

    def plan(self, partition: int) -> None:
        """Try a partition again, later than after the try before; once, however often planned."""
        if partition in self._planned:
            return
        self._planned.add(partition)
        now = time.monotonic()
        tries, planned_at = self._tries.get(partition, (0, now))
        if now > planned_at + 2 * LAST_SECONDS:
            tries = 0
        self._tries[partition] = tries + 1, now
        seconds = min(FIRST_SECONDS * 2.0**tries, LAST_SECONDS)
        task = asyncio.create_task(self._wait(partition, seconds), name=f"retry-{partition}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _wait(self, partition: int, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self._planned.discard(partition)
        await self._again(partition)

    async def cancel(self) -> None:
        """Forget all, and end what is under way."""
        tasks = list(self._tasks)
        self._tries.clear()
        self._planned.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
