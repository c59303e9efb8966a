"""What a partition's processor does where Kafka, the store or the framework fail it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka.errors import KafkaConnectionError

from contract.changelog import Marker
from contract.device_totals import DEVICE_TOTALS
from contract.errors import CorruptRecord
from contract.topics import READINGS
from kafka_io.batches.chunk import BatchStamp, RecordChunk
from stream_app.agent import fold_readings
from stream_app.changelog.lineage import refusal
from stream_app.changelog.origin import LostOffsets
from stream_app.changelog.writer import TransactionWriter
from stream_app.errors import PartitionRefusal
from stream_app.ownership import processor as processor_module
from stream_app.ownership.partition_of_views import PartitionOfViews
from stream_app.ownership.processor import PartitionProcessor
from stream_app.partition import commit_policy as backlog_module
from stream_app.partition.commit_policy import Backlog
from stream_app.partition.fold_state import PartitionFold
from stream_app.partition.pending import Transaction
from stream_app.process.rate_limiter import Pace
from stream_app.store.rocksdb_store import PartitionStore
from tests.records import HandmadeRecord, chunk_of, reading_value, records_from


class BusyWriter:
    """Kafka is still ending the transaction before: the next one may not begin yet."""

    def __init__(self) -> None:
        self.asked, self.let_begin = asyncio.Event(), asyncio.Event()
        self.written: list[Transaction] = []
        self.abandoned = 0

    async def begin(self, devices: int) -> None:
        self.asked.set()
        await self.let_begin.wait()

    async def write(self, transaction: Transaction) -> int:
        self.written.append(transaction)
        return len(self.written)

    async def abandon(self) -> None:
        self.abandoned += 1

    async def keep_until(self, work: asyncio.Event) -> None:
        await work.wait()

    async def stop(self) -> None:
        pass

    async def drop(self) -> None:
        pass


class RefusingWriter(BusyWriter):
    """Kafka refuses the quarantine topic."""

    def __init__(self) -> None:
        super().__init__()
        self.let_begin.set()
        self.tried = asyncio.Event()

    async def write(self, _: Any) -> int:
        self.tried.set()
        raise PartitionRefusal(0, "quarantine", "not authorised")


class HeldWriter(BusyWriter):
    """Kafka lets a transaction begin, and takes its time to commit it."""

    def __init__(self) -> None:
        super().__init__()
        self.let_begin.set()
        self.let_commit, self.committing = asyncio.Event(), asyncio.Event()

    async def write(self, transaction: Transaction) -> int:
        self.committing.set()
        await self.let_commit.wait()
        return await super().write(transaction)


class DamagedStore:
    """Another build, or nobody, wrote what is in this store."""

    is_marked = False

    def get(self, keys: list[bytes]) -> list[bytes | None]:
        return [b"no row"] * len(keys)

    def mark_damaged(self) -> None:
        self.is_marked = True


class EmptyStore(DamagedStore):
    def get(self, keys: list[bytes]) -> list[bytes | None]:
        return [None] * len(keys)


class WritableStore(EmptyStore):
    def write(self, *_: Any) -> None:
        pass


class CaughtUp:
    """A source that ends where the fold stands."""

    def __init__(self) -> None:
        self.sought: list[int] = []

    async def seek(self, _: int, offset: int) -> None:
        self.sought.append(offset)

    async def bounds(self, _: int) -> tuple[int, int]:
        return 0, 0

    async def resume(self, _: int, offset: int) -> None:
        self.sought.append(offset)

    def end_offset(self, _: int) -> int | None:
        return None


@pytest.fixture(autouse=True)
def endings(monkeypatch: pytest.MonkeyPatch) -> Iterator[asyncio.Queue[BaseException]]:
    """What ended the process: what a test does not take from it fails it."""
    errors: asyncio.Queue[BaseException] = asyncio.Queue()
    monkeypatch.setattr(processor_module, "end_process", lambda _, error: errors.put_nowait(error))
    yield errors
    assert errors.empty()


async def add(
    processor: PartitionProcessor, chunk: RecordChunk, acknowledge: Any = lambda: None
) -> None:
    """What the agent does with a chunk."""
    owned: Any = SimpleNamespace(partition=lambda *_: PartitionOfViews([processor]))
    message = SimpleNamespace(generation_id=1)

    class Stream:
        current_event = SimpleNamespace(message=message, ack=acknowledge)

        async def __aiter__(self) -> AsyncIterator[RecordChunk]:
            yield chunk

    await fold_readings(owned, Pace(None))(Stream())


def processor_of(
    writer: Any,
    store: Any,
    source: CaughtUp | None = None,
    backlog: Backlog | None = None,
    lineage: Any = None,
    on_refusal: Callable[[PartitionRefusal], None] = lambda _: None,
    **options: Any,
) -> PartitionProcessor:
    async def told(refusal: PartitionRefusal) -> None:
        on_refusal(refusal)

    return PartitionProcessor(
        PartitionFold(DEVICE_TOTALS, 0, Marker(applied_offset=-1)),
        cast(TransactionWriter, writer),
        cast(PartitionStore, store),
        cast(Any, source or CaughtUp()),
        generation=1,
        backlog=backlog or Backlog(100),
        lineage=lineage,
        on_refusal=told,
        **options,
    )


async def test_a_partition_that_waits_for_the_quarantine_is_let_go_at_once() -> None:
    writer = RefusingWriter()
    processor = processor_of(writer, EmptyStore())
    processor.start()
    await add(processor, chunk_of(0, [b"no reading"]))
    await writer.tried.wait()
    async with asyncio.timeout(0.5):
        await processor.close()
    assert processor.applied_offset == -1


async def test_a_store_that_has_what_is_no_row_is_set_aside_at_the_next_start(
    endings: asyncio.Queue[BaseException],
) -> None:
    store = DamagedStore()
    processor = processor_of(RefusingWriter(), store)
    processor.start()
    await add(processor, chunk_of(0, [reading_value()]))
    assert isinstance(await endings.get(), CorruptRecord)
    assert store.is_marked


async def test_every_chunk_beyond_a_gap_makes_the_processor_seek_back() -> None:
    source = CaughtUp()
    processor = processor_of(RefusingWriter(), EmptyStore(), source)
    for start in (20, 30, 25):
        await add(processor, chunk_of(start, [reading_value()]))
    assert source.sought == [0, 0, 0], "the chunk that was fetched again may be lost again"
    assert processor.fold.pending.counted == 0


async def test_what_comes_while_kafka_lets_no_transaction_begin_is_in_that_transaction() -> None:
    writer = BusyWriter()
    processor = processor_of(writer, WritableStore())
    processor.start()
    acknowledged = asyncio.Event()
    await add(processor, chunk_of(0, [reading_value()]))
    await writer.asked.wait()
    await add(processor, chunk_of(1, [reading_value()]), acknowledged.set)
    writer.let_begin.set()
    await acknowledged.wait()
    await processor.close()
    assert [transaction.marker.applied_offset for transaction in writer.written] == [1]


async def test_a_commit_counts_its_readings_by_their_age_slice_by_slice() -> None:
    now_ms = int(time.time() * 1000)
    old = [HandmadeRecord(0, reading_value(), timestamp=now_ms - 20_000)]
    new = [
        HandmadeRecord(1, reading_value(), timestamp=now_ms - 4_000),
        HandmadeRecord(2, reading_value(), timestamp=now_ms),
        HandmadeRecord(3, b"no reading", timestamp=now_ms),
    ]
    no_time = [HandmadeRecord(4, reading_value(), timestamp=7)]
    processor = processor_of(HeldWriter(), WritableStore())
    before = dict(processor._metrics.ages.buckets())
    processor._writer.let_commit.set()  # type: ignore[attr-defined]
    processor.start()
    acknowledged = asyncio.Event()
    for records in (old, new, no_time):
        start, following = records[0].offset, records[-1].offset + 1
        chunk = RecordChunk(READINGS.name, 0, start, following, [records], now_ms)
        await add(processor, chunk, acknowledged.set if records is no_time else lambda: None)
    await acknowledged.wait()
    await processor.close()
    counted = {
        bound: n - before[bound]
        for bound, n in processor._metrics.ages.buckets()
        if n - before[bound]
    }
    assert counted == {"5.0": 2, "10.0": 2, "30.0": 3, "60.0": 3, "+Inf": 3}


async def test_a_processor_that_is_closed_while_it_waits_to_begin_writes_nothing() -> None:
    writer = BusyWriter()
    processor = processor_of(writer, WritableStore())
    processor.start()
    await add(processor, chunk_of(0, [reading_value()]))
    await writer.asked.wait()
    closing = asyncio.create_task(processor.close())
    await asyncio.sleep(0)
    writer.let_begin.set()
    await closing
    assert (writer.written, writer.abandoned) == ([], 1)
    assert processor.applied_offset == -1


async def test_a_processor_that_is_full_when_its_quarantine_is_refused_holds_back_nobody() -> None:
    writer, refuse = RefusingWriter(), asyncio.Event()

    async def write(_: Any) -> int:
        writer.tried.set()
        await refuse.wait()
        raise PartitionRefusal(0, "quarantine", "not authorised")

    writer.write = write  # type: ignore[method-assign]
    processor = processor_of(writer, EmptyStore())
    processor.start()
    await add(processor, chunk_of(0, [b"no reading"]))
    await writer.tried.wait()
    await add(processor, chunk_of(1, [reading_value()] * 200))
    agent = asyncio.create_task(add(processor, chunk_of(201, [reading_value()]), lambda: None))
    await asyncio.sleep(0.01)
    assert not agent.done(), "the agent, which serves all partitions, waits for room in this one"
    refuse.set()
    await agent
    await processor.close()


async def test_large_transactions_take_turns_and_small_ones_do_not_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(backlog_module, "LARGE_DEVICES", 2)
    backlog = Backlog(100)
    writers = [HeldWriter(), HeldWriter(), HeldWriter()]
    processors = [processor_of(writer, WritableStore(), backlog=backlog) for writer in writers]
    large = [reading_value("a"), reading_value("b")]
    for processor, values in zip(processors, (large, large, large[:1]), strict=True):
        processor.start()
        await add(processor, chunk_of(0, values))
    first, second, small = writers
    await asyncio.gather(first.committing.wait(), small.committing.wait())
    await asyncio.sleep(0.05)
    assert not second.asked.is_set(), "not even begun: its timeout would run while it waits"
    first.let_commit.set()
    await second.committing.wait()
    for processor, writer in zip(processors, writers, strict=True):
        writer.let_commit.set()
        await processor.close()
    assert [len(writer.written) for writer in writers] == [1, 1, 1]


async def test_a_large_transaction_that_gets_quarantine_records_gives_its_turn_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(backlog_module, "LARGE_DEVICES", 2)
    backlog = Backlog(100)
    refused, other = BusyWriter(), HeldWriter()
    refused.write = RefusingWriter().write  # type: ignore[method-assign]
    large = [reading_value("a"), reading_value("b")]
    processor = processor_of(refused, EmptyStore(), backlog=backlog)
    processor.start()
    await add(processor, chunk_of(0, large))
    await refused.asked.wait()
    await add(processor, chunk_of(2, [b"no reading"]))
    refused.let_begin.set()
    next_processor = processor_of(other, WritableStore(), backlog=backlog)
    next_processor.start()
    await add(next_processor, chunk_of(0, large))
    await other.committing.wait()
    assert processor.refusal is not None
    other.let_commit.set()
    await next_processor.close()
    await processor.close()


async def test_a_transaction_has_its_devices_in_the_order_of_the_store() -> None:
    writer, asked = BusyWriter(), []

    class Store(WritableStore):
        def get(self, keys: list[bytes]) -> list[bytes | None]:
            asked.append(keys)
            return super().get(keys)

    writer.let_begin.set()
    processor = processor_of(writer, Store())
    processor.start()
    acknowledged = asyncio.Event()
    values = [reading_value(device) for device in ("\U0001f600", "b", "\uffff", "a", "\xfc")]
    await add(processor, chunk_of(0, values), acknowledged.set)
    await acknowledged.wait()
    await processor.close()
    keys = [key for key, _ in writer.written[0].updates[:-1]]
    assert asked == [keys]
    assert keys == sorted(keys)
    assert len(keys) == len(values)


def damaged(first: int, last: int) -> RecordChunk:
    return RecordChunk("energy_consumption", 0, first, last + 1, [], damage="its checksum is wrong")


async def until_called(found: list[Any]) -> None:
    while not found:  # noqa: ASYNC110 - nobody tells us
        await asyncio.sleep(0)


async def test_x53_a_damaged_batch_sets_the_partition_aside_when_all_before_it_is_committed() -> (
    None
):
    writer, source, told = HeldWriter(), CaughtUp(), []
    processor = processor_of(writer, WritableStore(), source, on_refusal=told.append)
    processor.start()
    await add(processor, chunk_of(0, [reading_value()] * 3))
    await add(processor, damaged(3, 7))
    await add(processor, chunk_of(8, [reading_value()]))
    await writer.committing.wait()
    assert told == []
    writer.let_commit.set()
    await until_called(told)
    assert processor.applied_offset == 2
    assert processor.fold.pending.counted == 0, "nothing behind it is folded"
    assert str(told[0]) == (
        "partition 0: the batch of offsets 3-7 cannot be read (its checksum is wrong): restore an"
        " intact copy of it, from another replica or a backup; to continue without it: energy"
        " worker --accept-lost-offsets 0:3-7"
    )
    # A replica brings it back: it is asked for again.
    await processor.resume()
    assert source.sought == [3]
    await add(processor, chunk_of(3, [reading_value()] * 6))
    await processor.close()


@pytest.mark.parametrize(
    ("accepted", "passed"),
    [
        (LostOffsets(3, 7), True),
        # What is counted already is not lost: another view may lack it.
        (LostOffsets(2, 7), True),
        (LostOffsets(3, 6), False),
        (LostOffsets(3, 8), False),
        (LostOffsets(4, 7), False),
    ],
)
async def test_x53_a_damaged_batch_is_passed_only_where_all_of_it_and_no_more_is_accepted(
    accepted: LostOffsets, passed: bool
) -> None:
    writer, told, done = HeldWriter(), [], asyncio.Event()
    writer.let_commit.set()
    processor = processor_of(writer, WritableStore(), on_refusal=told.append, accepted=[accepted])
    processor.start()
    await add(processor, chunk_of(0, [reading_value()] * 3))
    await add(processor, damaged(3, 7))
    if passed:
        await add(processor, chunk_of(8, [reading_value()]), done.set)
        await done.wait()
        assert (told, processor.applied_offset, processor.fold.marker.counted) == ([], 8, 4)
    else:
        await until_called(told)
        assert processor.applied_offset == 2
    await processor.close()


async def test_x31_removed_offsets_set_the_partition_aside_when_all_before_them_is_committed() -> (
    None
):
    class Hole(CaughtUp):
        async def bounds(self, _: int) -> tuple[int, int]:
            return 10, 20

    writer, told = HeldWriter(), []
    writer.let_commit.set()
    processor = processor_of(writer, WritableStore(), Hole(), on_refusal=told.append)
    processor.start()
    await add(processor, chunk_of(0, [reading_value()] * 3))
    await add(processor, chunk_of(10, [reading_value()]))
    await until_called(told)
    assert processor.applied_offset == 2
    assert "offsets 3-9 were removed before they were counted" in str(told[0])
    await processor.close()


OTHER = BatchStamp(4, 0xAC, 5)


class Replaced:
    """A lineage that finds another log, or the same one."""

    def __init__(self, *, is_replaced: bool) -> None:
        self.is_replaced, self.asked = is_replaced, 0

    async def refusals(self, counted: dict[int, BatchStamp]) -> dict[int, PartitionRefusal]:
        self.asked += 1
        return {p: refusal(p, counted[p], OTHER) for p in counted if self.is_replaced}


async def test_x56_readings_of_another_leader_are_folded_only_where_the_log_is_the_same() -> None:
    for is_replaced in (False, True):
        lineage = Replaced(is_replaced=is_replaced)
        processor = processor_of(BusyWriter(), EmptyStore(), lineage=lineage)
        await add(processor, chunk_of(0, [reading_value()], stamp=(1, 4)))
        assert lineage.asked == 0, "nothing was counted before"
        await add(processor, chunk_of(1, [reading_value()], stamp=(2, 5)))
        assert lineage.asked == 1
        assert processor.fold.folded_offset == (0 if is_replaced else 1)
        assert (processor.refusal is not None) is is_replaced


async def test_x56_other_readings_at_counted_offsets_set_the_partition_aside() -> None:
    for is_replaced in (False, True):
        lineage = Replaced(is_replaced=is_replaced)
        processor = processor_of(BusyWriter(), EmptyStore(), lineage=lineage)
        await add(processor, chunk_of(0, [reading_value()] * 5, stamp=(1, 4)))
        await add(processor, chunk_of(2, [reading_value()] * 2, stamp=(2, 5)))
        assert (lineage.asked, processor.fold.pending.counted) == (1, 5)
        assert (processor.refusal is not None) is is_replaced
    assert "is not the log that was counted: at offset 4" in str(processor.refusal)


class Unparseable(list[Any]):
    """A batch with the right checksum that nobody can parse."""

    base_offset, next_offset = 2, 4

    def __iter__(self) -> Any:
        raise ValueError("unknown codec")


async def test_x53_what_is_behind_a_passed_batch_in_the_same_chunk_is_fetched_again() -> None:
    values = [reading_value()] * 2
    batches: list[Any] = [records_from(0, values), Unparseable(), records_from(4, values)]
    source = CaughtUp()
    processor = processor_of(
        HeldWriter(), WritableStore(), source, accepted=[LostOffsets(2, 3), LostOffsets(6, 7)]
    )
    await add(processor, RecordChunk("energy_consumption", 0, 0, 6, batches))
    assert processor.refusal is None
    assert source.sought == [4], "no other chunk may come for long"
    await add(processor, chunk_of(4, values))
    assert (processor.fold.next_offset, processor.fold.pending.counted) == (6, 4)
    await add(processor, damaged(6, 7))
    assert source.sought == [4], "one that ends its chunk needs no seek"


@pytest.mark.parametrize(
    "error",
    [KafkaConnectionError("gone"), OSError("no route"), TimeoutError("no answer")],
    ids=repr,
)
async def test_x56_a_comparison_that_kafka_does_not_answer_is_made_again(error: Exception) -> None:
    class Silent(Replaced):
        async def refusals(self, counted: dict[int, BatchStamp]) -> dict[int, PartitionRefusal]:
            found = await super().refusals(counted)
            if self.asked == 1:
                raise error
            return found

    source, lineage = CaughtUp(), Silent(is_replaced=False)
    processor = processor_of(BusyWriter(), EmptyStore(), source, lineage=lineage)
    await add(processor, chunk_of(0, [reading_value()], stamp=(1, 4)))
    await add(processor, chunk_of(1, [reading_value()], stamp=(2, 5)))
    assert (processor.refusal, processor.fold.next_offset) == (None, 1), (
        "nothing unproven is folded"
    )
    assert source.sought == [1], "it is fetched again"
    await add(processor, chunk_of(1, [reading_value()], stamp=(2, 5)))
    assert (lineage.asked, processor.fold.next_offset) == (2, 2)


async def test_x56_the_bounds_of_a_gap_that_kafka_does_not_say_are_asked_for_again() -> None:
    class Silent(CaughtUp):
        asked = 0

        async def bounds(self, partition: int) -> tuple[int, int]:
            self.asked += 1
            if self.asked == 1:
                raise KafkaConnectionError("gone")
            return await super().bounds(partition)

    source = Silent()
    processor = processor_of(BusyWriter(), EmptyStore(), source)
    for _ in range(2):
        await add(processor, chunk_of(5, [reading_value()]))
    assert (source.asked, source.sought) == (2, [0, 0])


async def test_x54_a_partition_is_set_aside_also_where_its_writer_cannot_be_dropped() -> None:
    class Undroppable(RefusingWriter):
        async def drop(self) -> None:
            raise OSError("the socket is gone")

    told: list[PartitionRefusal] = []
    processor = processor_of(Undroppable(), EmptyStore(), on_refusal=told.append)
    processor.start()
    await add(processor, chunk_of(0, [b"no reading"]))
    await until_called(told)
    assert told[0].reason == "quarantine"
    await processor.finish()
