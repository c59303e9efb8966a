"""A view of one version, followed: rows of each partition as of its newest marker.

Records of a changelog partition are held back until the marker of their transaction, then
become visible in one step with it. Between two awaits of a reader nothing changes; a reader
that awaits takes a snapshot. Not thread-safe: one event loop, one feeder. The rows of any view;
what readers of device_totals ask besides is in version_view.py.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Mapping, Sequence
from enum import Enum

from api.view.layered_map import Layer, LayeredMap
from api.view.reserved_keys import is_of_a_later_build, reserved_keys
from contract.changelog import (
    BIRTH_KEY,
    MARKER_KEY,
    Birth,
    Marker,
    check_follows,
    decode_birth,
    decode_marker,
)
from contract.errors import CorruptRecord, DoesNotFollow
from contract.freshness import freshness_seconds
from contract.view import View
from kafka_io.batches.chunk import Record, RecordChunk

#: After a slice of this many records other tasks get their turn: about 1 ms.
SLICE_RECORDS = 1_000
#: Waiters of a partition that are not looked through for cancelled ones.
WAITERS_SWEPT = 64
_UNMARKED = Marker(applied_offset=-1)


class ViewState(Enum):
    """How far the view is; only a running one is served."""

    INITIALIZING = "initializing"
    CATCHING_UP = "catching_up"
    RUNNING = "running"


class PartitionView:
    """What one changelog partition says."""

    __slots__ = ("_waiters", "_waiters_swept", "birth", "held", "marker", "rows")

    def __init__(self) -> None:
        """Begin with nothing applied."""
        self.rows = LayeredMap()
        self.marker = _UNMARKED
        self.birth: Birth | None = None
        #: Records of a transaction whose marker has not come yet.
        self.held: Layer = {}
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

    def show(self, held: Layer, marker: Marker) -> None:
        """Make a transaction visible: its rows and its marker together."""
        self.rows.apply(held)
        self.marker = marker
        self.wake(marker.applied_offset)

    def wake(self, applied_offset: int | None) -> None:
        """Answer who waits for an offset up to this one; None: all, with False."""
        while self._waiters and (applied_offset is None or self._waiters[0][0] <= applied_offset):
            future = heapq.heappop(self._waiters)[2]
            if not future.done():
                future.set_result(applied_offset is not None)


class FollowedView:
    """All partitions of a view in one version."""

    def __init__(self, view: View, view_version: int, partitions: int) -> None:
        """Begin empty, with a changelog partition for each source partition."""
        self.kind = view
        self.view_version = view_version
        self.partitions = [PartitionView() for _ in range(partitions)]
        self.state = ViewState.INITIALIZING
        #: Why this view is not served, where time alone will not mend it.
        self.problem: str | None = None
        self.transactions = 0
        self._changed = asyncio.Event()

    def become(self, state: ViewState, problem: str | None = None) -> None:
        """Change the state and tell who waits for it."""
        self.state, self.problem = state, problem
        self._changed.set()
        self._changed = asyncio.Event()

    async def until(self, state: ViewState) -> None:
        """Return once the view is in this state."""
        while self.state is not state:
            await self._changed.wait()

    def extend(self, partitions: int) -> None:
        """Follow more partitions from now on: the readings topic was given more."""
        self.partitions += [PartitionView() for _ in range(partitions - len(self.partitions))]

    def retire(self) -> None:
        """Answer all who wait for offsets: this view will not reach them."""
        for partition in self.partitions:
            partition.wake(None)

    # Reading

    def parts_of(self, key: bytes) -> list[bytes]:
        """Return the parts of a row, none if it is unknown."""
        return [part for each in self.partitions if (part := each.rows.get(key)) is not None]

    def columns_of(self, keys: Sequence[bytes]) -> list[list[bytes | None]]:
        """Return the parts of rows: for each partition a list, None where it has none."""
        return [each.rows.get_many(keys) for each in self.partitions]

    def applied_offsets(self) -> list[int]:
        """Return the applied offset of each partition, -1 for none."""
        return [each.marker.applied_offset for each in self.partitions]

    def freshness_seconds(self) -> float | None:
        """Return the age of the newest counted reading, None if none is counted."""
        return freshness_seconds(
            (each.marker.newest_ms for each in self.partitions), int(time.time() * 1000)
        )

    async def reached(self, offsets: Mapping[int, int]) -> bool:
        """Return True once these offsets are applied, False if the view is retired before."""
        if any(partition >= len(self.partitions) for partition in offsets):
            return False
        waiting = [self.partitions[each].reached(offset) for each, offset in offsets.items()]
        return all(await asyncio.gather(*waiting))

    # Feeding

    async def apply(self, chunk: RecordChunk) -> None:
        """Take in a chunk; whole transactions become visible as their markers come.

        Raises: CorruptRecord, also at a marker that does not follow the one before it; the view
        must not be served from then on.
        """
        number, is_row = chunk.partition, self.kind.is_row
        partition = self.partitions[number]
        for records in chunk.slices():
            held = partition.held
            for record in records:
                value = record.value
                if value is not None and is_row(value):
                    held[record.key] = value  # type: ignore[index]  # None is refused in _checked
                else:
                    await self._take_special(number, record)
                    held = partition.held
            if len(records) >= SLICE_RECORDS:
                await asyncio.sleep(0)

    async def _take_special(self, number: int, record: Record) -> None:
        partition, value = self.partitions[number], record.value
        if record.key == MARKER_KEY and value is not None:
            marker = decode_marker(value)
            _check_follows(number, partition.marker, marker, record.offset)
            held, partition.held = partition.held, {}
            await self._show(number, held, marker)
            self.transactions += 1
        elif record.key == BIRTH_KEY and value is not None:
            partition.birth = decode_birth(value)
        elif record.key is None or not is_of_a_later_build(record.key):
            raise CorruptRecord(
                f"no record of ours in the changelog, offset {record.offset}: key {record.key!r}"
            )

    async def _show(self, number: int, held: Layer, marker: Marker) -> None:
        """Make a transaction visible. Raises: CorruptRecord where a key is none of a row."""
        for key in reserved_keys(list(held)):
            del held[key]
        self.partitions[number].show(held, marker)

    async def merge(self) -> None:
        """Tidy the layers that large transactions and snapshots left; call it now and then."""
        for partition in self.partitions:
            if partition.rows.depth > 1:
                for _ in partition.rows.merge():
                    await asyncio.sleep(0)


def _check_follows(number: int, before: Marker, marker: Marker, offset: int) -> None:
    try:
        check_follows(before, marker)
    except DoesNotFollow as error:
        raise DoesNotFollow(f"partition {number}, offset {offset}: {error}") from None
