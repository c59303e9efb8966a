"""The readings as processors see them: fetched, sought, compared with what was counted."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from kafka_io.batches.chunk import BatchStamp, RecordChunk
from stream_app.changelog import lineage
from stream_app.changelog.origin import cut_off
from stream_app.errors import PartitionRefusal
from stream_app.ownership.processor import PartitionProcessor

if TYPE_CHECKING:
    from tests.model.kafka_log import SimLog

Answer = TypeVar("Answer")


class Stop:
    """A place where a coroutine of the product waits for Kafka."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __await__(self) -> Generator[str, None, None]:
        yield self._name


def stepped(coroutine: Coroutine[Any, Any, Answer]) -> Generator[str, None, Answer]:
    """Go through a coroutine of the product from stop to stop; returns its answer."""
    return (yield from coroutine.__await__())


def replaced(log: SimLog, counted: BatchStamp | None) -> PartitionRefusal | None:
    """Compare the batch that was counted with what stands there, as Lineage.refusals does."""
    partition = log.partition
    if counted is not None and counted.last_offset >= log.end_offset:
        return cut_off(partition, counted.last_offset, log.end_offset)
    found = counted and log.stamp_at(counted.last_offset)
    if counted is None or found is None or found.is_same(counted):
        return None
    return lineage.refusal(partition, counted, found)


class SimLineage:
    """Stands in for Lineage, which fetches what it compares."""

    def __init__(self, readings: list[SimLog]) -> None:
        self._readings = readings

    async def refusals(self, counted: Mapping[int, BatchStamp]) -> dict[int, PartitionRefusal]:
        await Stop("readings compared")
        found = {p: replaced(self._readings[p], stamp) for p, stamp in counted.items()}
        return {p: refusal for p, refusal in found.items() if refusal is not None}


class SimProcessor(PartitionProcessor):
    """The product's processor without its task, whose work SimHolding does step by step."""

    def takes_all(self) -> int:
        """Note that all that is folded is in the commit that begins; returns up to where."""
        self._taken_offset = self.fold.folded_offset
        return self._taken_offset


class SimSource:
    """The worker's one consumer of the readings."""

    def __init__(self, readings: list[SimLog], seek: Callable[[int, int], None]) -> None:
        """`seek` is what a seek does."""
        self._readings, self._seek = readings, seek
        self.positions: dict[int, int] = {}
        self.paused: set[int] = set()
        #: How far from its position the next fetches of a partition begin, by mistake.
        self.next_shifts: dict[int, list[int]] = {}

    def assign(self, positions: dict[int, int]) -> None:
        """Begin anew, with these partitions."""
        self.positions, self.paused = positions, set()

    def fetch(self, partition: int, most_batches: int) -> RecordChunk | None:
        """Return what comes next of a partition, and go on behind it."""
        if partition in self.paused or partition not in self.positions:
            return None
        log, position = self._readings[partition], self.positions[partition]
        if position > log.end_offset:
            # Out of range, for which aiokafka begins anew.
            position = self.positions[partition] = 0
        chunk = log.fetch(position, most_batches)
        if chunk is None:
            return None
        if shifts := self.next_shifts.get(partition):
            position = min(max(0, position + shifts.pop()), chunk.next_offset - 1)
            chunk = log.fetch(position, most_batches)
        self.positions[partition] = chunk.next_offset
        return chunk

    # What a processor asks of it: stream_app/ownership/source.py.

    def end_offset(self, partition: int) -> int | None:
        return self._readings[partition].end_offset

    async def seek(self, partition: int, offset: int) -> None:
        await Stop("seeks")
        self._seek(partition, offset)

    async def pause(self, partition: int) -> None:
        await Stop("pauses")
        self.paused.add(partition)

    async def resume(self, partition: int, offset: int) -> None:
        await Stop("resumes")
        self.positions[partition] = offset
        self.paused.discard(partition)

    async def bounds(self, partition: int) -> tuple[int, int]:
        return 0, self._readings[partition].end_offset
