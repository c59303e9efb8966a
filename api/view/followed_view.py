"""A view of one version, followed: rows of each partition as of its newest marker.

Records of a changelog partition are held back until the marker of their transaction, then
become visible in one step with it. Where the rows are kept is a subclass's: copied_view.py. Not
thread-safe: one event loop, one feeder.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from enum import Enum
from itertools import count

from api.view.partition_view import Held, PartitionView
from api.view.reserved_keys import is_of_a_later_build, is_reserved
from contract.changelog import (
    BIRTH_KEY,
    MARKER_KEY,
    Marker,
    check_follows,
    decode_birth,
    decode_marker,
)
from contract.errors import CorruptRecord, DoesNotFollow
from contract.freshness import Ages, freshness_seconds
from contract.view import View
from kafka_io.batches.chunk import Record, RecordChunk

_lives = count(1)
#: After a slice of this many records other tasks get their turn: about 1 ms.
SLICE_RECORDS = 1_000


class ViewState(Enum):
    """How far the view is; only a running one is served."""

    INITIALIZING = "initializing"
    CATCHING_UP = "catching_up"
    RUNNING = "running"


class ViewUnusable(Exception):
    """What a view is kept in cannot be used now; the text says why, and it is tried again."""


class FollowedView(ABC):
    """All partitions of a view in one version."""

    #: Whether a record without a value removes a row; else there is no such record.
    removes = False

    def __init__(self, view: View, view_version: int, partitions: int) -> None:
        """Begin empty, with a changelog partition for each source partition."""
        self.kind = view
        #: Another number for each that is made: one that was started over is told from it.
        self.life = next(_lives)
        self.view_version = view_version
        self.partitions = [PartitionView() for _ in range(partitions)]
        self.state = ViewState.INITIALIZING
        #: Why this view is not served, where time alone will not mend it.
        self.problem: str | None = None
        self.transactions = 0
        #: Called after each change of the state, or of what a copy of it shows.
        self.on_change: Callable[[], None] = lambda: None
        self._changed = asyncio.Event()

    def become(self, state: ViewState, problem: str | None = None) -> None:
        """Change the state and tell who waits for it."""
        self.state, self.problem = state, problem
        if state is ViewState.RUNNING:
            self._observe()
        self._changed.set()
        self._changed = asyncio.Event()
        self.on_change()

    async def until(self, state: ViewState) -> None:
        """Return once the view is in this state."""
        while self.state is not state:
            await self._changed.wait()

    def extend(self, partitions: int) -> None:
        """Follow more partitions from now on: the readings topic was given more."""
        added = range(partitions - len(self.partitions))
        self.partitions += [PartitionView() for _ in added]
        if self.state is ViewState.RUNNING:
            self._observe()

    def _observe(self) -> None:
        """Note from now on how old readings are when they can be seen; not while all is loaded."""
        for each in self.partitions:
            each.ages = each.ages or Ages()

    def retire(self) -> None:
        """Answer all who wait for offsets: this view will not reach them."""
        for partition in self.partitions:
            partition.wake(None)

    # Reading

    def applied_offsets(self) -> list[int]:
        """Return the applied offset of each partition, -1 for none."""
        return [each.marker.applied_offset for each in self.partitions]

    def shown_offsets(self) -> list[int]:
        """Return those of what readers are shown now: in a copy on disk they may be newer."""
        return self.applied_offsets()

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
        for batches in chunk.slices():
            # One batch may be a whole fetch.
            for start in range(0, len(batches), SLICE_RECORDS):
                records = batches[start : start + SLICE_RECORDS]
                held = partition.held
                for record in records:
                    value = record.value
                    if value is not None and is_row(value):
                        held[record.key] = value  # type: ignore[index]  # refused at the marker
                    else:
                        await self._take_special(number, record)
                        held = partition.held
                if len(records) == SLICE_RECORDS:
                    await asyncio.sleep(0)

    async def _take_special(self, number: int, record: Record) -> None:
        partition, key, value = self.partitions[number], record.key, record.value
        if key == MARKER_KEY and value is not None:
            marker = decode_marker(value)
            _check_follows(number, partition.newest or partition.marker, marker, record.offset)
            held, partition.held = partition.held, {}
            partition.newest = marker
            await self._show(number, held, marker, record.offset)
            self.transactions += 1
        elif key == BIRTH_KEY and value is not None:
            partition.birth = decode_birth(value)
            await self._keep_birth(number, value)
        elif key is None or not is_of_a_later_build(key):
            if key is None or value is not None or not self.removes or is_reserved(key):
                raise CorruptRecord(
                    f"an unknown record in the changelog, offset {record.offset}: key {key!r}"
                )
            partition.held[key] = None

    @abstractmethod
    async def _show(self, number: int, held: Held, marker: Marker, offset: int) -> None:
        """Make a transaction visible, now or in `merge`; its marker is at this offset.

        Raises: CorruptRecord where a key is none of a row.
        """

    async def _keep_birth(self, number: int, value: bytes) -> None:  # noqa: B027
        """Keep a birth record as it stands in the changelog."""

    async def resume(self) -> dict[int, int]:
        """Take up what was kept over a restart; returns offsets of the changelog to continue at."""
        return {}

    async def forget(self) -> None:  # noqa: B027
        """Forget what was kept: the changelog is read from its start."""

    async def show_kept(self) -> None:  # noqa: B027
        """Let what is kept be shown: the view is whole, and will run."""

    def saw_end(self) -> None:  # noqa: B027
        """Take in that all of the changelog up to now is read."""

    def may_lack_removals(self) -> bool:
        """Whether the changelog may have forgotten removed rows that this view has not read of."""
        return False

    @abstractmethod
    async def merge(self) -> None:
        """Work off what the chunks of a fetch have left; called after each fetch."""


def _check_follows(number: int, before: Marker, marker: Marker, offset: int) -> None:
    try:
        check_follows(before, marker)
    except DoesNotFollow as error:
        raise DoesNotFollow(f"partition {number}, offset {offset}: {error}") from None
