"""What is kept of one partition of a followed view: its marker, and who waits for an offset."""

from __future__ import annotations

import asyncio
import heapq
import time
from typing import Any

from contract.changelog import Birth, Marker
from contract.freshness import Ages, freshness_seconds

#: Waiters of a partition that are not looked through for cancelled ones.
WAITERS_SWEPT = 64
_UNMARKED = Marker(applied_offset=-1)

#: The rows of a transaction; a value is None where the row is removed, in a view that removes any.
Held = dict[bytes, Any]


class PartitionView:
    """What one changelog partition says."""

    __slots__ = ("_waiters", "_waiters_swept", "ages", "birth", "held", "marker", "newest")

    def __init__(self) -> None:
        #: Of the transaction that is shown.
        self.marker = _UNMARKED
        #: The newest that was read: readers may not be shown its transaction yet.
        self.newest: Marker | None = None
        self.birth: Birth | None = None
        #: How old readings were when they could be seen; None before the view was served.
        self.ages: Ages | None = None
        #: Records of a transaction whose marker has not come yet.
        self.held: Held = {}
        self._waiters: list[tuple[int, int, asyncio.Future[bool]]] = []
        #: How many were left when those who wait no longer were taken out.
        self._waiters_swept = 0

    def reached(self, offset: int) -> asyncio.Future[bool]:
        """Return what becomes True once `offset` is applied, False if this view is retired."""
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        if self.marker.applied_offset >= offset:
            future.set_result(True)
        else:
            heapq.heappush(self._waiters, (offset, id(future), future))
            if len(self._waiters) > 2 * self._waiters_swept + WAITERS_SWEPT:
                # With the worker away nothing else would ever take out who has given up.
                self._waiters = [each for each in self._waiters if not each[2].done()]
                heapq.heapify(self._waiters)
                self._waiters_swept = len(self._waiters)
        return future

    def pass_marker(self, marker: Marker) -> None:
        """Take in that the transaction of this marker is visible."""
        if self.ages is not None:
            now = time.time()
            age = freshness_seconds((marker.newest_ms,), int(now * 1000))
            if age is not None:
                self.ages.add(age, marker.counted - self.marker.counted)
        self.marker = marker
        self.wake(marker.applied_offset)

    def wake(self, applied_offset: int | None) -> None:
        """Answer who waits for an offset up to this one; None: all, with False."""
        while self._waiters and (applied_offset is None or self._waiters[0][0] <= applied_offset):
            future = heapq.heappop(self._waiters)[2]
            if not future.done():
                future.set_result(applied_offset is not None)
