"""A partition of several views: one chunk for all, and none of them waits for another's trouble."""

from __future__ import annotations

from typing import Any, cast

from contract.changelog import Marker
from contract.device_totals import DEVICE_TOTALS
from contract.view import View
from kafka_io.batches.chunk import RecordChunk
from stream_app.ownership.partition_of_views import PartitionOfViews
from stream_app.partition.fold_state import PartitionFold, Verdict
from tests.first_letters import FIRST_LETTERS
from tests.records import chunk_of, reading_value


class Processor:
    """One that wants what it is told to want, and has room where it is told to."""

    def __init__(self, view: View, *, room: bool = True, wanted: bool = True) -> None:
        self.fold = PartitionFold(view, 0, Marker(-1))
        self.room, self.wanted = room, wanted
        self.events: list[Any] = []
        self.judged: list[Verdict] = []

    async def has_room(self) -> bool:
        return self.room

    async def wants(self, chunk: RecordChunk) -> bool:
        return self.wanted

    async def follow(self, chunk: RecordChunk, verdict: Verdict, damage: Any) -> bool:
        self.judged.append(verdict)
        return verdict.is_folded

    def acknowledge_once_committed(self, acknowledge: Any) -> None:
        self.events.append(acknowledge)


def partition_of(*processors: Processor) -> PartitionOfViews:
    return PartitionOfViews(cast(Any, processors))


def chunk() -> RecordChunk:
    return chunk_of(0, [reading_value()] * 3)


async def test_a_chunk_is_acknowledged_once_the_last_view_has_committed_it() -> None:
    first, second = Processor(DEVICE_TOTALS), Processor(FIRST_LETTERS)
    partition, acknowledged = partition_of(first, second), list[str]()
    assert await partition.fold_chunk(chunk())
    partition.acknowledge_once_committed(lambda: acknowledged.append("now"))
    second.events[0]()
    assert acknowledged == []
    first.events[0]()
    assert acknowledged == ["now"]


async def test_a_view_that_is_set_aside_holds_up_no_other() -> None:
    first, second = Processor(DEVICE_TOTALS, room=False, wanted=False), Processor(FIRST_LETTERS)
    partition = partition_of(first, second)
    assert await partition.has_room()
    assert await partition.fold_chunk(chunk())
    partition.acknowledge_once_committed(lambda: None)
    assert (first.fold.folded_offset, second.fold.folded_offset) == (-1, 2)
    assert (len(first.events), len(second.events)) == (0, 1)


async def test_each_view_judges_the_chunk_by_its_own_place() -> None:
    views = DEVICE_TOTALS, FIRST_LETTERS, FIRST_LETTERS
    behind, here, ahead = processors = [Processor(view) for view in views]
    behind.fold.skip_to(-5)
    ahead.fold.skip_to(3)
    partition = partition_of(*processors)
    assert await partition.fold_chunk(chunk())
    assert [processor.judged for processor in processors] == [
        [Verdict.GAP],
        [Verdict.NEXT],
        [Verdict.REDELIVERED],
    ]
    assert [processor.fold.folded_offset for processor in processors] == [-6, 2, 2]
    assert here.fold.pending.counted == 3


async def test_where_no_view_wants_more_the_chunk_is_dropped() -> None:
    processors = [Processor(DEVICE_TOTALS, room=False), Processor(FIRST_LETTERS, room=False)]
    assert not await partition_of(*processors).has_room()
    for processor in processors:
        processor.wanted = False
    assert not await partition_of(*processors).fold_chunk(chunk())
