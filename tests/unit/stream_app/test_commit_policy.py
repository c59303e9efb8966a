"""When a partition commits what it has, and when it holds back what comes."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from contract.changelog import Marker
from contract.device_totals import DEVICE_TOTALS
from contract.energy_series import ENERGY_SERIES
from contract.view import View
from stream_app.partition.commit_policy import (
    CAUGHT_UP_RECORDS,
    DEEP_WAIT_SECONDS,
    FIRST_DEVICES_PER_SECOND,
    LARGE_DEVICES,
    LONGEST_WAIT_SECONDS,
    QUARANTINE_BYTES,
    Backlog,
)
from stream_app.partition.fold_state import PartitionFold
from stream_app.partition.pending import QuarantineRecord

TARGET = 10_000
FAR = TARGET - 1


def fold_with(
    backlog: Backlog,
    *,
    devices: int = 1,
    readings: int | None = None,
    view: View = DEVICE_TOTALS,
) -> PartitionFold:
    """A partition that is counted in, with so much pending."""
    fold = PartitionFold(view, 0, Marker(applied_offset=-1))
    fold.pending.deltas = {f"device_{number}": [1, 1] for number in range(devices)}
    fold.pending.counted = devices if readings is None else readings
    backlog.join(fold)
    return fold


@pytest.mark.parametrize(
    ("behind", "seconds"),
    [
        (0, 0.0),
        (CAUGHT_UP_RECORDS - 1, 0.0),
        (CAUGHT_UP_RECORDS, LONGEST_WAIT_SECONDS),
        (TARGET - 1, LONGEST_WAIT_SECONDS),
        (TARGET, DEEP_WAIT_SECONDS),
        (10**9, DEEP_WAIT_SECONDS),
    ],
)
def test_a_partition_waits_for_more_the_longer_the_further_it_is_behind(
    behind: int, seconds: float
) -> None:
    backlog = Backlog(TARGET)
    fold = fold_with(backlog)
    assert backlog.is_due(fold, behind, seconds)
    assert seconds == 0 or not backlog.is_due(fold, behind, seconds - 0.01)


def test_whoever_has_just_caught_up_waits_for_no_clock_and_later_again_for_it() -> None:
    backlog = Backlog(TARGET)
    fold = fold_with(backlog, view=ENERGY_SERIES)
    assert not backlog.is_due(fold, 0, 0)
    assert not backlog.is_due(fold, CAUGHT_UP_RECORDS, 0)
    assert not backlog.is_due(fold, 1, 0)
    assert backlog.is_due(fold, 0, 0)
    assert not backlog.is_due(fold, 0, 0)
    assert backlog.is_due(fold, 0, ENERGY_SERIES.commit_seconds)


def test_the_target_ends_the_wait_and_twice_the_target_holds_back() -> None:
    backlog = Backlog(TARGET)
    fold = fold_with(backlog, readings=TARGET)
    assert backlog.is_due(fold, FAR, 0)
    assert not backlog.is_full(fold)
    fold.pending.counted *= 2
    assert backlog.is_full(fold)


def test_quarantine_records_end_the_wait_by_their_bytes() -> None:
    backlog = Backlog(TARGET)
    fold = fold_with(backlog)
    fold.pending.quarantined_bytes = QUARANTINE_BYTES
    assert backlog.is_due(fold, FAR, 0)
    fold.pending.quarantined_bytes *= 2
    assert backlog.is_full(fold)


def test_too_many_devices_in_all_hold_back_all_until_the_largest_is_committed() -> None:
    backlog = Backlog(TARGET)
    small = fold_with(backlog, devices=TARGET - 1)
    middle = fold_with(backlog, devices=2 * TARGET - 1, readings=TARGET - 1)
    large = fold_with(backlog, devices=3 * TARGET + 2, readings=TARGET - 1)
    folds = [small, middle, large]
    assert [backlog.is_full(fold) for fold in folds] == [True, True, True]
    assert [backlog.is_due(fold, FAR, 0) for fold in folds] == [False, False, True]
    large.take()
    assert [backlog.is_full(fold) for fold in folds] == [False, False, False]
    assert [backlog.is_due(fold, FAR, 0) for fold in folds] == [False, False, False]


async def test_a_partition_that_leaves_holds_back_nobody() -> None:
    backlog = Backlog(TARGET)
    going, staying = fold_with(backlog, devices=6 * TARGET, readings=1), fold_with(backlog)
    assert backlog.is_full(staying)
    waiting = asyncio.create_task(backlog.change())
    await asyncio.sleep(0)
    backlog.leave(going)
    await waiting
    assert not backlog.is_full(staying)


def test_a_large_transaction_takes_its_turn_unless_it_quarantines() -> None:
    backlog = Backlog(TARGET, timeout_seconds=60)
    fold = fold_with(backlog, devices=LARGE_DEVICES - 1)
    assert not backlog.is_large(fold)
    fold.pending.deltas["another"] = [1, 1]
    assert backlog.is_large(fold)
    fold.pending.quarantined.append(QuarantineRecord(None, b"{}"))
    assert not backlog.is_large(fold)


def test_c14_the_first_transactions_take_turns_because_each_may_need_the_time_of_all() -> None:
    backlog = Backlog(10**7, timeout_seconds=10)
    first = most_devices(backlog)
    assert first < LARGE_DEVICES
    assert backlog.is_large(fold_with(backlog, devices=first))
    assert not backlog.is_large(fold_with(backlog, devices=first - 1))


def most_devices(backlog: Backlog) -> int:
    """With how many devices, and no more readings than that, a transaction is due."""
    low, high = 1, 10**7
    fold = fold_with(backlog)
    while low < high:
        middle = (low + high) // 2
        fold.pending.deltas = cast(Any, range(middle))
        low, high = (low, middle) if backlog._makes(1, fold) else (middle + 1, high)
    backlog.leave(fold)
    return low


def test_c14_transactions_begin_small_and_grow_while_they_are_quick() -> None:
    backlog = Backlog(10**7, timeout_seconds=15)
    first = 15 * FIRST_DEVICES_PER_SECOND
    assert most_devices(backlog) == first
    backlog.took(DEVICE_TOTALS, first, 0.3)
    assert most_devices(backlog) == 2 * first
    backlog.took(DEVICE_TOTALS, 10, 0.001)
    backlog.took(DEVICE_TOTALS, 2 * first, 4)
    assert most_devices(backlog) == 2 * first, "neither small ones nor slow ones say more"


@pytest.mark.parametrize("microseconds", [1, 6, 20, 200])
@pytest.mark.parametrize("timeout", [1, 15])
def test_c14_no_transaction_comes_near_its_timeout_on_a_machine_that_is_slow(
    microseconds: int, timeout: float
) -> None:
    backlog, took = Backlog(10**7, timeout_seconds=timeout), []
    for _ in range(40):
        devices = most_devices(backlog)
        took.append(devices * microseconds / 1e6)
        backlog.took(DEVICE_TOTALS, devices, took[-1])
    assert max(took) <= 2 / 3 * timeout
    assert min(took[5:]) >= timeout / 10 or most_devices(backlog) >= 10**7 - 1, "nor is it tiny"


def test_c14_after_a_slow_transaction_the_next_one_is_as_much_smaller() -> None:
    backlog = Backlog(10**7, timeout_seconds=15)
    for _ in range(3):
        backlog.took(DEVICE_TOTALS, most_devices(backlog), 0.5)
    large = most_devices(backlog)
    backlog.took(DEVICE_TOTALS, large, 12.0)
    assert most_devices(backlog) == pytest.approx(large * 5 / 12, rel=0.01)
