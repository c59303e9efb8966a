"""C1-C4, C17: when a commit may be a single batch, and what ends a writer that lost its log."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError

from contract.changelog import Marker
from contract.device_totals import DEVICE_TOTALS
from stream_app.changelog import fence as fence_module
from stream_app.changelog import sends, single_batches
from stream_app.changelog.fence import (
    AGE_SECONDS,
    CONFIRM_SECONDS,
    MOST_EPOCH,
    SETTLED_SECONDS,
    WriterFence,
    boot_seconds,
    keep_until,
)
from stream_app.changelog.single_batches import (
    REMEMBERED_MS,
    NotProven,
    SingleBatches,
    refused_by_configs,
)
from stream_app.changelog.writer import TransactionWriter
from stream_app.errors import RestartNeeded
from stream_app.partition.pending import QuarantineRecord, Transaction
from tests.clock import Clock

LEADER = 7
SHOWN = {
    "producer.id.expiration.ms": str(REMEMBERED_MS),
    "transactional.id.expiration.ms": str(REMEMBERED_MS),
}
STAMPED = {"message.timestamp.type": "LogAppendTime"}


async def proves() -> None:
    pass


async def proven() -> SingleBatches:
    single = SingleBatches(None)
    await single.prove(LEADER, proves)
    return single


def started(single: SingleBatches, epoch: int = 3, clock: Clock | None = None) -> WriterFence:
    fence = WriterFence(single, clock=clock or Clock())
    fence.started((4_000, epoch))
    fence.confirmed(fence.now())
    return fence


@pytest.mark.parametrize(
    ("brokers", "changelog", "words"),
    [
        ({"1": SHOWN, "2": SHOWN}, STAMPED, None),
        # C1: what is not known is not safe.
        ({}, STAMPED, "do not show their configs"),
        ({"1": {}}, STAMPED, "broker 1 does not show producer.id.expiration.ms"),
        ({"1": SHOWN, "2": {"log.retention.ms": "-1"}}, STAMPED, "broker 2 does not show"),
        # C20: a config without a value.
        ({"1": SHOWN | {"transactional.id.expiration.ms": "None"}}, STAMPED, "does not show trans"),
        # C3: far longer than a batch is under way.
        ({"1": SHOWN | {"producer.id.expiration.ms": "3599999"}}, STAMPED, "3599999, less than"),
        ({"1": SHOWN | {"transactional.id.expiration.ms": "1"}}, STAMPED, "1, less than 3600000"),
        # C17: else a log forgets by a worker's clock.
        ({"1": SHOWN}, {"message.timestamp.type": "CreateTime"}, "is CreateTime; set it to Log"),
        ({"1": SHOWN}, {}, "message.timestamp.type is not shown"),
    ],
)
def test_c1_configs_that_are_not_known_or_not_right_refuse_single_batches(
    brokers: dict[str, dict[str, str]], changelog: dict[str, str], words: str | None
) -> None:
    found = refused_by_configs(brokers, {"the-changelog": changelog})
    assert (found is None) if words is None else (words in (found or ""))


async def test_c1_only_a_broker_that_has_proven_it_gets_single_batches() -> None:
    single = SingleBatches(None)
    assert not started(single).allows_single_batch(LEADER)
    assert str(single) == "not used: not probed yet"

    async def takes_anything() -> None:
        raise NotProven("its log takes the batches of a fenced writer")

    await single.prove(LEADER, takes_anything)
    assert not started(single).allows_single_batch(LEADER)
    assert str(single) == "not used: broker 7: its log takes the batches of a fenced writer"
    await single.prove(LEADER, proves)
    fence = started(single)
    assert fence.allows_single_batch(LEADER)
    assert str(single) == "used"
    for other in (8, -1, None):
        assert not fence.allows_single_batch(other), "the partition has moved, or nobody knows"


@pytest.mark.parametrize(
    ("rows", "bytes_each", "quarantined", "fits"),
    [
        (8_192, 90, 0, True),
        (8_193, 1, 0, False),
        (10, 99_000, 0, True),
        (10, 100_000, 0, False),
        (10, 10, 1, False),
    ],
)
async def test_what_fits_into_one_batch_is_one(
    rows: int, bytes_each: int, quarantined: int, fits: bool
) -> None:
    marker = Marker(applied_offset=1)
    refused = [QuarantineRecord(None, b"no reading")] * quarantined
    commit = Transaction([(b"device_7", b"1" * bytes_each)] * rows, refused, marker)
    assert started(await proven()).makes_single_batch(LEADER, commit) is fits
    assert not started(await proven()).makes_single_batch(LEADER + 1, commit)


async def test_c1_a_probe_without_an_answer_proves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(single_batches, "PROBE_SECONDS", 0.01)
    single = SingleBatches(None)

    async def never() -> None:
        await asyncio.Event().wait()

    await single.prove(LEADER, never)
    assert not single.is_proven(LEADER)
    assert "no answer in 0.01 s" in str(single)


async def test_a_broker_is_probed_once_and_by_one_writer_at_a_time() -> None:
    single, probes, may_end = SingleBatches(None), [], asyncio.Event()

    async def probe() -> None:
        probes.append(1)
        await may_end.wait()

    first = asyncio.create_task(single.prove(LEADER, probe))
    await asyncio.sleep(0)
    await single.prove(LEADER, probe)
    may_end.set()
    await first
    await single.prove(LEADER, probe)
    assert single.is_proven(LEADER)
    assert len(probes) == 1


@pytest.mark.parametrize(
    ("single", "words"),
    [
        (SingleBatches(None, is_off=True), "not used: STREAM_APP_SINGLE_BATCHES is off"),
        (SingleBatches("broker 1 does not show x"), "not used: broker 1 does not show x"),
    ],
)
async def test_off_or_refused_is_not_even_probed(single: SingleBatches, words: str) -> None:
    async def probe() -> None:
        raise AssertionError

    await single.prove(LEADER, probe)
    assert not started(single).allows_single_batch(LEADER)
    assert str(single) == words


@pytest.mark.parametrize(
    ("epoch", "allowed"), [(0, True), (MOST_EPOCH, True), (MOST_EPOCH + 1, False), (-1, False)]
)
async def test_c2_near_the_end_of_an_ids_epochs_all_is_transactions(
    epoch: int, allowed: bool
) -> None:
    assert started(await proven(), epoch).allows_single_batch(LEADER) is allowed


async def test_c3_a_writer_that_was_not_confirmed_lately_takes_a_transaction() -> None:
    clock = Clock()
    fence = started(await proven(), clock=clock)
    clock.now += CONFIRM_SECONDS - 0.001
    assert fence.allows_single_batch(LEADER)
    clock.now += 0.001
    assert not fence.allows_single_batch(LEADER)
    fence.confirmed(clock.now)
    assert fence.allows_single_batch(LEADER)


async def test_c3_a_batch_is_under_way_for_a_bounded_time() -> None:
    clock = Clock()
    fence = started(await proven(), clock=clock)
    with pytest.raises(RestartNeeded):
        fence.check_age()
    fence.allows_single_batch(LEADER)
    clock.now += AGE_SECONDS
    fence.check_age()
    clock.now += 1
    with pytest.raises(RestartNeeded, match="under way for 31 s, or the machine stood still"):
        fence.check_age()


def test_c3_the_clock_runs_through_a_suspend_where_there_is_such_a_clock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fence_module.time, "CLOCK_BOOTTIME", 42, raising=False)
    monkeypatch.setattr(fence_module.time, "clock_gettime", lambda clock: 100.0 + clock)
    assert boot_seconds() == 142.0
    monkeypatch.delattr(fence_module.time, "CLOCK_BOOTTIME")
    monkeypatch.setattr(fence_module.time, "monotonic", lambda: 5.0)
    assert boot_seconds() == 5.0


@pytest.mark.parametrize(
    ("former", "is_open"),
    [
        (None, False),
        ((4_000, 2), False),
        ((3_999, MOST_EPOCH), True),
        # It had transactions only: the coordinator refuses what it still sends.
        ((3_999, MOST_EPOCH + 1), False),
    ],
)
async def test_c2_another_producer_id_leaves_the_former_owner_unfenced(
    former: tuple[int, int] | None, is_open: bool
) -> None:
    assert started(await proven()).is_open_to(former) is is_open
    assert started(SingleBatches(None, is_off=True)).is_open_to(former) is is_open
    assert not started(SingleBatches("ids are forgotten within seconds")).is_open_to(former)
    assert SETTLED_SECONDS >= AGE_SECONDS + CONFIRM_SECONDS


@pytest.mark.parametrize("last_writer", [None, (3_999, 2), (3_999, MOST_EPOCH + 1)])
async def test_c2_a_writer_that_the_marker_does_not_name_begins_with_a_transaction(
    last_writer: tuple[int, int] | None,
) -> None:
    """Its single batch would warn nobody who gets a third id: `is_open_to` goes by the marker."""
    fence = started(await proven())
    fence.continues_at(10, last_writer)
    assert not fence.allows_single_batch(LEADER)
    fence.appended(10, 4, all_written=True)
    assert fence.allows_single_batch(LEADER)
    fence.continues_at(20, (4_000, 2))
    assert fence.allows_single_batch(LEADER), "an earlier epoch of its own id is fenced in the log"


async def test_c4_a_commit_stands_where_the_writer_expects_it() -> None:
    fence = started(await proven())
    fence.continues_at(10, None)
    # The fence's second control record was read with the rest, or is still to come.
    fence.appended(10, 4, all_written=False)
    fence.appended(15, 4, all_written=False)
    fence.control_record()
    fence.appended(20, 4, all_written=True)
    fence.appended(24, 4, all_written=True)
    fence.control_record()
    fence.control_record()
    fence.appended(30, 2, all_written=False)


@pytest.mark.parametrize("base", [9, 12, 13, -1])
@pytest.mark.parametrize("all_written", [True, False])
async def test_c4_another_offset_ends_the_writer(base: int, all_written: bool) -> None:
    fence = started(await proven())
    fence.continues_at(10, None)
    with pytest.raises(RestartNeeded, match=f"at offset {base} of the changelog, not at 10-11: so"):
        fence.appended(base, 4, all_written=all_written)


async def test_c4_after_a_transaction_the_end_is_known_exactly() -> None:
    fence = started(await proven())
    fence.continues_at(10, None)
    fence.appended(10, 4, all_written=True)
    with pytest.raises(RestartNeeded, match="not at 14-14"):
        fence.appended(15, 4, all_written=True)


async def test_f7_an_idle_day_does_not_widen_where_a_commit_may_stand() -> None:
    for by_transaction, open_ones in ((False, 2), (True, 1)):
        fence = started(await proven())
        fence.continues_at(10, None)
        if by_transaction:
            fence.appended(10, 1, all_written=True)
        for _ in range(96):
            fence.control_record()
            fence.all_but_the_last_are_written()
        words = f"not at {107 - open_ones}-107"
        with pytest.raises(RestartNeeded, match=words):
            fence.appended(106 - open_ones, 1, all_written=False)


async def test_f7_no_writer_that_is_alone_is_ended() -> None:
    """Each order of five steps, and each choice of control records that come late."""
    single_batches = await proven()
    for steps in itertools.product(("keep", "single batch", "transaction"), repeat=5):
        for late in itertools.product((False, True), repeat=5):
            for pending in (0, 1):
                runs_alone(started(single_batches), list(zip(steps, late, strict=True)), pending)


def runs_alone(fence: WriterFence, steps: list[tuple[str, bool]], pending: int) -> None:
    """Have a writer do all steps; `pending` control records are not in the log yet."""
    end, is_ending = 10, False
    fence.continues_at(end, None)
    for step, is_late in steps:
        if not is_late:
            end, pending = end + pending, 0
        if step == "keep" or (step == "single batch" and is_ending):
            end, pending, is_ending = end + pending, 1, False
            fence.control_record()
            fence.all_but_the_last_are_written()
        if step == "single batch":
            fence.appended(end, 2, all_written=False)
            end += 2
        elif step == "transaction":
            end += pending
            fence.appended(end, 2, all_written=True)
            fence.control_record()
            end, pending, is_ending = end + 2, 1, True


async def test_c3_an_idle_owner_has_kafka_remember_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fence_module.KEEP_SECONDS * 4_000 <= REMEMBERED_MS
    monkeypatch.setattr(fence_module, "KEEP_SECONDS", 0.001)
    event, kept = asyncio.Event(), 0

    async def keep() -> Any:
        nonlocal kept
        kept += 1
        if kept == 3:
            event.set()

    await keep_until(event, keep)
    assert kept == 3
    await keep_until(event, keep)
    assert kept == 3, "there is work"


@pytest.mark.parametrize(
    ("answer", "ends"), [(True, False), (False, True), (KafkaConnectionError(), True), (None, True)]
)
async def test_f4_only_a_look_at_own_control_records_lets_a_batch_stand_further(
    answer: Any, ends: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that fails, or has no answer: what is not known is somebody else's."""
    asked: list[range] = []

    async def are_controls_of(*place: Any) -> bool:
        asked.append(place[-1])
        if answer is None:
            await asyncio.Event().wait()
        if isinstance(answer, Exception):
            raise answer
        return bool(answer)

    monkeypatch.setattr(sends, "are_controls_of", are_controls_of)
    monkeypatch.setattr(sends, "LOOK_SECONDS", 0.01)
    single = SingleBatches(None)
    writer: Any = TransactionWriter(
        DEVICE_TOTALS, {}, 1, 0, transaction_timeout_seconds=10, single_batches=single
    )
    writer._producer._closed = True
    writer.fence.continues_at(10, None)
    await writer._appended(11, 2, all_written=False)
    assert asked == [], "a look costs a connection"
    try:
        await writer._appended(15, 2, all_written=True)
    except RestartNeeded:
        assert ends
    else:
        assert not ends
        await writer._appended(17, 2, all_written=True)
    assert asked == [range(13, 15)]
