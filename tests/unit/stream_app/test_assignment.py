"""Partitions that go while they are still on their way to this worker, and ones set aside."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, cast

import msgspec
import pytest
from aiokafka.errors import KafkaConnectionError, ProducerClosed

from contract.changelog import MARKER_KEY, Birth, Marker, check_follows, encode_marker
from contract.device_totals import DEVICE_TOTALS
from kafka_io.batches.chunk import BatchStamp
from kafka_io.errors import NoBroker
from stream_app.changelog.fence import SETTLED_SECONDS, WriterFence
from stream_app.changelog.lineage import refusal
from stream_app.changelog.recovery import Recovered
from stream_app.changelog.single_batches import SingleBatches
from stream_app.errors import PartitionRefusal, Refusal, RestartNeeded
from stream_app.ownership import assignment as ownership_module
from stream_app.ownership import set_aside as set_aside_module
from stream_app.ownership.assignment import Ownership
from stream_app.ownership.set_aside import Retries, leave_if_alone
from stream_app.partition.commit_policy import Backlog
from stream_app.partition.pending import Transaction

BIRTH = Birth("cluster", "readings", "readings-id", "changelog-id", 0, "1")


async def nothing() -> None:
    pass


class Store:
    """One that is recovered, with a marker."""

    def __init__(self, applied_offset: int = 9, **fields: Any) -> None:
        self._marker = Marker(applied_offset, **fields)

    def marker(self) -> Marker:
        return self._marker


class StoreOf(Store):
    """One that has this marker."""

    def __init__(self, marker: Marker) -> None:
        self._marker = marker


def recovered(birth: Birth, writer: tuple[int, int] | None = None, **fields: Any) -> Recovered:
    store: Any = Store(writer=writer, **fields)
    return Recovered(store, birth, 30)


class Writer:
    """One that is at once whatever it is asked to be."""

    identity = (4_000, 3)

    def __init__(self) -> None:
        self.fence = WriterFence(SingleBatches(None))
        self.fence.started(self.identity)

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def drop(self) -> None: ...


class SlowRecovery:
    """Recovers once it is let."""

    def __init__(self) -> None:
        self.may_end = asyncio.Event()

    async def recover(self, partitions: list[int]) -> dict[int, Any]:
        await self.may_end.wait()
        return {partition: recovered(BIRTH) for partition in partitions}


class Recovery(SlowRecovery):
    """Recovers at once, to what it is told."""

    def __init__(self, found: dict[int, Any]) -> None:
        super().__init__()
        self.found = found
        self.asked: list[list[int]] = []

    async def recover(self, partitions: list[int]) -> dict[int, Any]:
        self.asked.append(partitions)
        return {partition: self.found[partition] for partition in partitions}


OTHER = BatchStamp(9, 8, 3)


class Log:
    """Stands for the readings log, which is the one that was counted but in these partitions."""

    def __init__(self, *replaced: int) -> None:
        self.replaced = replaced
        self.compared: dict[int, BatchStamp] = {}

    async def refusals(self, counted: dict[int, BatchStamp]) -> dict[int, PartitionRefusal]:
        self.compared |= counted
        return {p: refusal(p, counted[p], OTHER) for p in self.replaced}


class Processor:
    """One that only says what it was made of."""

    def __init__(self, fold: Any, *_: Any, on_refusal: Any, **__: Any) -> None:
        self.applied_offset = fold.marker.applied_offset
        self.fold = fold
        self.refuse = on_refusal
        self.resumed = 0

    def start(self) -> None: ...

    async def finish(self) -> None: ...

    async def close(self) -> None: ...

    async def resume(self) -> None:
        self.resumed += 1


class Readings:
    """The source, which says what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    async def pause(self, partition: int) -> None:
        self.asked.append(("pause", partition))

    async def resume(self, partition: int, offset: int) -> None:
        self.asked.append(("resume", partition, offset))

    async def bounds(self, _: int) -> tuple[int, int]:
        return 0, 20


def ownership_of(recovery: Any, nothing_left: Any = None, lineage: Any = None) -> Ownership:
    new_writer: Any = lambda partition: Writer()  # noqa: E731
    new_processor: Any = Processor
    return Ownership(
        view=DEVICE_TOTALS,
        new_writer=new_writer,
        recovery=recovery,
        lineage=lineage or Log(),
        confirm_basis=nothing,
        nothing_left=nothing_left or (lambda _: None),
        expected_birth=BIRTH,
        backlog=Backlog(1),
        new_processor=new_processor,
    )


@pytest.fixture(autouse=True)
def _never_ends(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail a test in which the process would have ended."""
    endings: list[str] = []
    monkeypatch.setattr(
        ownership_module, "end_process", lambda where, error: endings.append(f"{where}: {error}")
    )
    yield
    assert not endings


WITHOUT_HEAD = PartitionRefusal(1, "changelog", "it has no birth record")
OTHER_BIRTH = msgspec.structs.replace(BIRTH, rules_id="0")


async def taken_over(
    owned: Ownership, first: dict[int, int], end: dict[int, int], source: Any = None
) -> None:
    partitions = sorted(first)
    await owned.fence(partitions)
    await owned.recover(partitions)
    owned.begin(1, cast(Any, source))
    if owned.positions():
        owned.check_positions(first, end)


async def test_x54_each_refusal_of_one_partition_sets_only_it_aside() -> None:
    found = {
        0: recovered(BIRTH),
        1: WITHOUT_HEAD,
        2: recovered(OTHER_BIRTH),
        3: recovered(BIRTH),
        4: recovered(BIRTH),
    }
    owned = ownership_of(Recovery(found))
    first, end = dict.fromkeys(range(5), 0) | {3: 15}, dict.fromkeys(range(5), 20) | {4: 5}
    await taken_over(owned, first, end)
    assert sorted(owned.processors) == [0]
    assert {p: refusal.reason for p, refusal in owned.refusals().items()} == {
        1: "changelog",
        2: "changelog",
        3: "readings_removed",
        4: "readings_removed",
    }
    told = owned.not_ready_because()
    assert len(told) == 4
    assert "partition 3 waits: offsets 10-14 were removed" in told[2]
    await owned.release()
    assert owned.refusals() == {}


async def test_x54_it_is_told_where_all_its_partitions_refuse() -> None:
    told: list[Refusal] = []
    recovery = Recovery({1: WITHOUT_HEAD, 3: recovered(BIRTH)})
    owned = ownership_of(recovery, told.append)
    await taken_over(owned, {1: 0, 3: 15}, {1: 20, 3: 20})
    assert len(told) == 1
    assert "partition 1: it has no birth record; partition 3: offsets 10-14" in str(told[0])
    assert owned.refuses_all()
    await owned.release()
    assert not owned.refuses_all()


@pytest.mark.parametrize(
    ("members", "leaves"), [(["we"], 1), ([], 1), (["we", "others"], 0), (NoBroker("away"), 0)]
)
async def test_x54_it_ends_only_where_nobody_else_is_in_the_group(
    members: Any, leaves: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(set_aside_module, "ASK_AGAIN_SECONDS", 0.0)
    answers, left = iter([True, True, False, False]), []

    def asked() -> list[str]:
        if isinstance(members, Exception):
            raise members
        return members  # type: ignore[no-any-return]

    await leave_if_alone(lambda: next(answers), asked, lambda: left.append(3))
    assert len(left) == leaves


async def test_x54_a_worker_without_partitions_works_on() -> None:
    owned = ownership_of(Recovery({}))
    await taken_over(owned, {}, {})
    assert owned.not_ready_because() == []


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - nobody tells us
        await asyncio.sleep(0)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(set_aside_module, "FIRST_SECONDS", 0.0)


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("reason", ["quarantine", "too_large"])
async def test_x54_a_commit_that_kafka_refuses_has_its_partition_taken_over_anew(
    reason: Any,
) -> None:
    recovery = Recovery({0: recovered(BIRTH), 1: recovered(BIRTH)})
    source, owned = Readings(), ownership_of(recovery)
    await taken_over(owned, {0: 0, 1: 0}, {0: 20, 1: 20}, source)
    other, refused = owned.processors[0], cast(Any, owned.processors[1])
    await refused.refuse(PartitionRefusal(1, reason, "Kafka does not take it"))
    assert owned.refusals()[1].reason == reason
    assert source.asked == [("pause", 1)]
    # Committed after all, or by another worker meanwhile: the changelog says it.
    recovery.found[1] = Recovered(cast(Any, Store(12)), BIRTH, 30)
    await until(lambda: owned.refusals() == {})
    await until(lambda: len(source.asked) == 2)
    assert source.asked[1:] == [("resume", 1, 13)]
    assert owned.processors[1] is not refused
    assert owned.processors[0] is other, "the others are left alone"
    await owned.release()


@pytest.mark.usefixtures("at_once")
async def test_x53_a_damaged_batch_is_asked_for_again_by_the_same_one() -> None:
    owned = ownership_of(Recovery({0: recovered(BIRTH), 1: recovered(BIRTH)}))
    await taken_over(owned, {0: 0, 1: 0}, {0: 20, 1: 20}, Readings())
    processor = cast(Any, owned.processors[1])
    await processor.refuse(PartitionRefusal(1, "readings_damaged", "a batch is damaged"))
    await until(lambda: processor.resumed == 1)
    assert owned.refusals() == {}


async def test_x54_in_running_too_it_is_told_only_where_a_person_has_to_act_for_all() -> None:
    told: list[Refusal] = []
    owned = ownership_of(Recovery({0: recovered(BIRTH), 1: recovered(BIRTH)}), told.append)
    await taken_over(owned, {0: 0, 1: 0}, {0: 20, 1: 20}, Readings())
    first, second = cast(Any, owned.processors[0]), cast(Any, owned.processors[1])
    await first.refuse(PartitionRefusal(0, "readings_removed", "gone"))
    await second.refuse(PartitionRefusal(1, "quarantine", "Kafka takes none"))
    assert told == []
    await second.refuse(PartitionRefusal(1, "readings_removed", "gone too"))
    assert [str(each) for each in told] == ["partition 0: gone; partition 1: gone too"]
    await owned.release()


@pytest.mark.parametrize("again", [[], [1]])
async def test_partitions_released_between_fence_and_recovery_are_not_taken_over(
    again: list[int],
) -> None:
    """A rebalance may begin at any moment; the process that ended then kept its group waiting."""
    recovery = Recovery({0: recovered(BIRTH), 1: recovered(BIRTH)})
    owned = ownership_of(recovery)
    await owned.fence([0, 1])
    await owned.release()
    if again:
        await owned.fence(again)
    await owned.recover([0, 1])
    assert recovery.asked == []
    await owned.recover(again)
    assert owned.positions() == dict.fromkeys(again, 10)


async def test_partitions_released_while_they_are_fenced_are_not_taken_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    owned = ownership_of(Recovery({0: recovered(BIRTH)}))
    fence = owned._claims.fence

    async def released_meanwhile(partitions: list[int]) -> None:
        await fence(partitions)
        await owned.release()

    monkeypatch.setattr(owned._claims, "fence", released_meanwhile)
    await owned.fence([0])
    await owned.recover([0])
    assert owned.positions() == {}


async def test_partitions_let_go_while_they_are_recovered_are_not_taken_over() -> None:
    recovery = SlowRecovery()
    owned = ownership_of(recovery)
    await owned.fence([0])
    recovering = asyncio.create_task(owned.recover([0]))
    await asyncio.sleep(0)
    await owned.release()
    recovery.may_end.set()
    await recovering
    assert owned.positions() == {}


async def test_c2_what_a_former_owner_under_another_id_may_still_write_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its batches are not fenced in the log: the changelog is read again when they are over."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        recovery.found[1] = recovered(BIRTH, writer=(4_000, 2))

    recovery = Recovery({0: recovered(BIRTH, (4_000, 2)), 1: recovered(BIRTH, (3_999, 2))})
    owned = ownership_of(recovery)
    await owned.fence([0, 1])
    monkeypatch.setattr(ownership_module.asyncio, "sleep", sleep)
    await owned.recover([0, 1])
    assert slept == [SETTLED_SECONDS]
    assert recovery.asked == [[0, 1], [1]]
    assert owned.positions() == {0: 10, 1: 10}


async def test_f5_what_a_former_owner_may_still_write_is_waited_for_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A partition without readings has no commit that would name its new owner."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    refused = PartitionRefusal(2, "changelog", "it has no birth record")
    found = {0: recovered(BIRTH, (4_000, 2)), 1: recovered(BIRTH, (3_999, 2)), 2: refused}
    recovery = Recovery(found)
    owned = ownership_of(recovery)
    steps: list[Any] = []

    async def write(_: Any, transaction: Transaction) -> int:
        steps.append(transaction)
        recovery.found[1] = Recovered(cast(Any, StoreOf(transaction.marker)), BIRTH, 33)
        return 31

    async def keep(_: Any) -> None:
        steps.append("its end is seen")

    monkeypatch.setattr(Writer, "write", write, raising=False)
    monkeypatch.setattr(Writer, "keep", keep, raising=False)
    monkeypatch.setattr(ownership_module.asyncio, "sleep", sleep)
    for _ in range(2):
        await owned.fence([0, 1, 2])
        await owned.recover([0, 1, 2])
    assert slept == [SETTLED_SECONDS]
    marker = Marker(9, previous=9, writer=Writer.identity)
    assert steps == [
        Transaction([(MARKER_KEY, encode_marker(marker))], [], marker),
        "its end is seen",
    ]
    check_follows(Marker(9, writer=(3_999, 2)), marker)
    assert recovery.asked == [[0, 1, 2], [1], [1], [0, 1, 2]]
    assert owned.positions() == {0: 10, 1: 10}
    writer: Any = owned._claims.writers[1]
    with pytest.raises(RestartNeeded, match="not at 33-34"):
        writer.fence.appended(35, 1, all_written=True)


async def test_f5_partitions_let_go_while_they_are_signed_end_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    owned = ownership_of(Recovery({1: recovered(BIRTH, (3_999, 2))}))

    async def sleep(_: float) -> None: ...

    async def write(*_: Any) -> int:
        await owned.release()
        raise ProducerClosed

    monkeypatch.setattr(Writer, "write", write, raising=False)
    monkeypatch.setattr(ownership_module.asyncio, "sleep", sleep)
    await owned.fence([1])
    await owned.recover([1])
    assert owned.positions() == {}


async def test_c4_a_writer_is_told_where_the_changelog_ended() -> None:
    owned = ownership_of(Recovery({0: recovered(BIRTH)}))
    await taken_over(owned, {0: 0}, {0: 20})
    writer: Any = owned._claims.writers[0]
    with pytest.raises(RestartNeeded, match="not at 30-31"):
        writer.fence.appended(32, 1, all_written=True)


async def test_x56_a_partition_whose_readings_were_replaced_is_set_aside() -> None:
    stamped = {"checksum": 7, "leader_epoch": 2}
    found = {p: recovered(BIRTH, **stamped) for p in range(2)} | {2: recovered(BIRTH)}
    readings = Log(1)
    owned = ownership_of(Recovery(found), lineage=readings)
    await taken_over(owned, dict.fromkeys(range(3), 0), dict.fromkeys(range(3), 20))
    assert sorted(owned.processors) == [0, 2]
    assert owned.refusals()[1].reason == "log_replaced"
    assert readings.compared == {p: BatchStamp(9, 7, 2) for p in (0, 1)}, "an old marker has none"


class Flaky:
    """Stands for a broker: what is asked of it fails once, when it is told to."""

    fails = False

    def answer(self) -> None:
        if self.fails:
            self.fails = False
            raise KafkaConnectionError("Unable to bootstrap")


class FlakyLog(Flaky, Log):
    async def refusals(self, counted: dict[int, BatchStamp]) -> dict[int, PartitionRefusal]:
        self.answer()
        return await super().refusals(counted)


class FlakyReadings(Flaky, Readings):
    async def resume(self, partition: int, offset: int) -> None:
        self.answer()
        await super().resume(partition, offset)


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("flaky", [FlakyLog(), FlakyReadings()], ids=["log", "resume"])
async def test_x54_a_retake_that_fails_late_is_tried_again(flaky: Any) -> None:
    source: Any = flaky if isinstance(flaky, Readings) else Readings()
    lineage = flaky if isinstance(flaky, Log) else None
    owned = ownership_of(Recovery({0: recovered(BIRTH), 1: recovered(BIRTH)}), lineage=lineage)
    await taken_over(owned, {0: 0, 1: 0}, {0: 20, 1: 20}, source)
    processor = cast(Any, owned.processors[1])
    flaky.fails = True
    await processor.refuse(PartitionRefusal(1, "quarantine", "Kafka does not take it"))
    await until(lambda: not flaky.fails)
    assert owned.forgotten() == []
    await until(lambda: 1 in owned.refusals())
    assert "partition 1 waits" in str(owned.not_ready_because())
    assert source.asked[-1] == ("pause", 1)
    await until(lambda: source.asked[-1] == ("resume", 1, 10))
    assert (owned.refusals(), owned.not_ready_because()) == ({}, [])
    assert owned.processors[1] is not processor
    await owned.release()


@pytest.mark.usefixtures("at_once")
async def test_x53_a_damaged_batch_that_cannot_be_asked_for_now_is_asked_for_again() -> None:
    source = FlakyReadings()
    owned = ownership_of(Recovery({0: recovered(BIRTH), 1: recovered(BIRTH)}))
    await taken_over(owned, {0: 0, 1: 0}, {0: 20, 1: 20}, source)
    processor = cast(Any, owned.processors[1])

    async def resume() -> None:
        await source.resume(1, 10)

    processor.resume, source.fails = resume, True
    await processor.refuse(PartitionRefusal(1, "readings_damaged", "a batch is damaged"))
    await until(lambda: not source.fails)
    await until(lambda: 1 in owned.refusals())
    await until(lambda: source.asked[-1] == ("resume", 1, 10))
    assert (owned.refusals(), owned.not_ready_because()) == ({}, [])
    await owned.release()


@pytest.mark.usefixtures("at_once")
async def test_x56_of_two_retakes_at_once_neither_opens_the_other_before_it_is_judged() -> None:
    class SlowLog(Log):
        asked, may_answer = asyncio.Event(), asyncio.Event()

        async def refusals(self, counted: dict[int, BatchStamp]) -> dict[int, PartitionRefusal]:
            if list(counted) != [1]:
                return {}
            self.asked.set()
            await self.may_answer.wait()
            return {1: refusal(1, counted[1], OTHER)}

    readings, source = SlowLog(), Readings()
    found = {p: recovered(BIRTH, checksum=7, leader_epoch=1) for p in range(3)}
    owned = ownership_of(Recovery(found), lineage=readings)
    await taken_over(owned, dict.fromkeys(range(3), 0), dict.fromkeys(range(3), 20), source)
    await cast(Any, owned.processors[1]).refuse(PartitionRefusal(1, "quarantine", "no"))
    await readings.asked.wait()
    await cast(Any, owned.processors[2]).refuse(PartitionRefusal(2, "quarantine", "no"))
    await until(lambda: ("resume", 2, 10) in source.asked)
    assert sorted(owned.processors) == [0, 2]
    readings.may_answer.set()
    await until(lambda: owned.refusals()[1].reason == "log_replaced")
    await asyncio.sleep(0)
    assert sorted(owned.processors) == [0, 2]
    assert source.asked == [("pause", 1), ("pause", 2), ("resume", 2, 10)]
    await owned.release()


@pytest.mark.usefixtures("at_once")
async def test_x54_what_is_set_aside_is_logged_once_however_often_it_is_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    found = {0: recovered(BIRTH), 1: WITHOUT_HEAD, 2: recovered(BIRTH)}
    source, owned = Readings(), ownership_of(Recovery(found))
    await taken_over(owned, dict.fromkeys(range(3), 0), dict.fromkeys(range(3), 20), source)
    for tries in range(1, 4):
        await cast(Any, owned.processors[2]).refuse(PartitionRefusal(2, "quarantine", "no"))
        await until(lambda tries=tries: len(source.asked) == 2 * tries)
    told = [each.getMessage() for each in caplog.records if each.levelname == "ERROR"]
    assert told == ["partition 1: it has no birth record", "partition 2: no"]
    await owned.release()


async def test_x54_a_partition_that_is_neither_worked_on_nor_set_aside_is_named() -> None:
    owned = ownership_of(Recovery({0: recovered(BIRTH), 1: recovered(BIRTH)}))
    await taken_over(owned, {0: 0, 1: 0}, {0: 20, 1: 20}, Readings())
    del owned.processors[1]
    assert owned.forgotten() == [1]
    assert owned.not_ready_because() == ["partition 1 is not worked on, for no known reason"]
    await owned.release()


@pytest.mark.usefixtures("at_once")
async def test_x54_a_try_that_is_planned_twice_is_made_once() -> None:
    tried: list[int] = []

    async def again(partition: int) -> None:
        tried.append(partition)
        if tried.count(partition) == 1:
            retries.plan(partition)

    retries = Retries(again)
    for partition in (1, 1, 2, 1):
        retries.plan(partition)
    await until(lambda: not retries._tasks)
    assert sorted(tried) == [1, 1, 2, 2], "each once, and once more where a try has planned it"
