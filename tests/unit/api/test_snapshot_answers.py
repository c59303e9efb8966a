"""Answers out of the series: made by threads, within bounds, and by nobody once nobody waits."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.dependencies import QUESTIONS
from api.http.long_responses import PIECE_BYTES
from api.view.series import DeviceSum, Filter, Group, Period
from tests.api_doubles import Caller, caller_for, filled_view
from tests.series_double import MemorySeries, MemorySource, Sample
from tests.waiting import until

OVER_TIME, BY_DEVICE = (
    f"/v0/pipes/energy_consumption_{name}" for name in ("over_time", "by_device")
)
QUARTERS = f"{OVER_TIME}?interval=15m"


class SlowSeries(MemorySeries):
    """A series that waits, in its thread, before it answers; and before each group."""

    def __init__(self, *samples: Sample) -> None:
        super().__init__(samples)
        self.asked = 0
        self.groups_read = 0
        self.may_go_on = threading.Event()

    def by_device(self, period: Period | None, only: Filter) -> list[DeviceSum]:
        self.asked += 1
        self.may_go_on.wait()
        return super().by_device(period, only)

    def groups(self, *arguments: Any, **named: Any) -> Iterator[Group]:
        for group in super().groups(*arguments, **named):
            self.groups_read += 1
            yield group


@pytest.fixture
def series() -> Iterator[SlowSeries]:
    series = SlowSeries(*(Sample(f"d{n:04}", "", 900 * n, n) for n in range(3_000)))
    yield series
    series.may_go_on.set()


@pytest.fixture
async def caller(tmp_path: Path, series: SlowSeries) -> Caller:
    return caller_for(tmp_path, await filled_view({"a": (1, 1)}), series=MemorySource(series))


def open_snapshots(caller: Caller) -> int:
    source = caller.services.live.series()
    assert isinstance(source, MemorySource)
    return source.open


async def test_a_scan_holds_up_neither_the_loop_nor_another_token(
    caller: Caller, series: SlowSeries
) -> None:
    slow = [asyncio.create_task(caller.get(f"{BY_DEVICE}?location=&offset={n}")) for n in range(3)]
    await until(lambda: series.asked == 1)
    assert (await caller.get("/v0/devices/a")).status == 200
    assert (await caller.with_another_token().get(f"{OVER_TIME}?limit=1")).status == 200
    assert series.asked == 1
    series.may_go_on.set()
    assert [(await each).json()["rows"] for each in slow] == [3_000, 2_999, 2_998]
    assert (series.asked, open_snapshots(caller)) == (3, 0)


async def test_equal_questions_that_wait_are_answered_once(
    caller: Caller, series: SlowSeries
) -> None:
    first = asyncio.create_task(caller.get(f"{BY_DEVICE}?location="))
    await until(lambda: series.asked == 1)
    others = [asyncio.create_task(caller.get(f"{BY_DEVICE}?location=")) for _ in range(5)]
    await asyncio.sleep(0)
    series.may_go_on.set()
    assert len({(await each).json()["rows"] for each in (first, *others)}) == 1
    assert series.asked == 2


async def test_a_token_with_too_many_questions_is_503(caller: Caller, series: SlowSeries) -> None:
    waiting = [
        asyncio.create_task(caller.get(f"{BY_DEVICE}?location=&offset={n}"))
        for n in range(QUESTIONS // 2)
    ]
    await until(lambda: series.asked == 1)
    refused = await caller.get(BY_DEVICE + "?location=x")
    assert (refused.status, refused.headers["retry-after"]) == (503, "1")
    assert (await caller.with_another_token().get(f"{OVER_TIME}?limit=1")).status == 200
    series.may_go_on.set()
    assert {(await each).status for each in waiting} == {200}


async def test_what_nobody_waits_for_is_not_made_to_its_end(
    caller: Caller, series: SlowSeries
) -> None:
    asked = asyncio.create_task(caller.get(f"{BY_DEVICE}?location="))
    await until(lambda: series.asked == 1)
    asked.cancel()
    await asyncio.wait([asked])
    # Its thread still waits; so does who comes next, until it has ended.
    following = asyncio.create_task(caller.get(f"{BY_DEVICE}?location="))
    await asyncio.sleep(0.01)
    assert (series.asked, open_snapshots(caller)) == (1, 1)
    series.may_go_on.set()
    assert (await following).json()["rows"] == 3_000
    assert (series.asked, open_snapshots(caller)) == (2, 0)
    assert caller.services.answers.taken == 0


async def test_who_leaves_while_it_is_made_leaves_nothing(
    caller: Caller, series: SlowSeries, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.query.bucket_sums.HELD", 1)
    one = f"{OVER_TIME}?group_by=device_id&interval=year"
    asked = asyncio.create_task(caller.get(one))
    await until(lambda: caller.services.answers.taken > 0)
    asked.cancel()
    await asyncio.wait([asked])
    await until(lambda: open_snapshots(caller) == 0)
    await until(lambda: caller.services.answers.taken == 0)
    assert series.groups_read < 6_000


async def test_a_long_answer_goes_through_a_file_and_a_short_one_does_not(caller: Caller) -> None:
    long, short = (
        await caller.get(f"{QUARTERS}&limit=2000"),
        await caller.get(f"{QUARTERS}&limit=1"),
    )
    assert len(long.body) > 2 * PIECE_BYTES
    assert long.pieces > 2
    assert short.pieces == 2
    assert int(short.headers["content-length"]) == len(short.body)
    assert caller.services.answers.taken == 0
