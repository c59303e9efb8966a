"""What `/ready` and `/metrics` say of the series."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from api.view.followed_view import ViewState
from api.view.series_view import SeriesView
from tests.api_doubles import Caller, HandmadeLive, caller_for, filled_view
from tests.series_records import commit, row
from tests.unit.api.test_series_view import copy_in, feed


@pytest.fixture
async def series(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SeriesView]:
    series = SeriesView(1, 1, copy_in(tmp_path / "view"))
    await series.resume()
    monkeypatch.setattr(HandmadeLive, "series_view", series)
    yield series
    await series.copy.close()


@pytest.fixture
async def caller(tmp_path: Path, series: SeriesView) -> Caller:
    view = await filled_view({"a": (1, 1)}, applied_offset=9)
    return caller_for(tmp_path, view, end_offsets={0: 12})


async def numbers(caller: Caller) -> dict[str, float]:
    text = (await caller.get("/metrics")).body.decode()
    found = re.findall(r"^(api_(?:series|books)_\S+) (\S+)$", text, re.MULTILINE)
    return {name: float(number) for name, number in found}


async def test_ready_is_of_totals_and_tells_the_state_of_the_series(
    caller: Caller, series: SeriesView
) -> None:
    series.become(ViewState.CATCHING_UP, "no room on the disk; free some")
    answer = await caller.get("/ready")
    assert (answer.status, answer.json()["status"]) == (200, "ready")
    assert answer.json()["series"] == "catching_up"
    assert answer.json()["series_problem"] == "no room on the disk; free some"
    series.become(ViewState.RUNNING)
    content = (await caller.get("/ready")).json()
    assert (content["series"], content["series_problem"]) == ("running", None)


async def test_without_a_series_ready_and_metrics_say_nothing_of_it(tmp_path: Path) -> None:
    caller = caller_for(tmp_path, await filled_view({"a": (1, 1)}))
    content = (await caller.get("/ready")).json()
    assert (content["series"], content["series_problem"]) == (None, None)
    assert await numbers(caller) == {}


async def test_metrics_say_how_far_the_series_is(caller: Caller, series: SeriesView) -> None:
    found = await numbers(caller)
    assert found["api_series_running"] == 0
    assert found['api_series_applied_offset{partition="0"}'] == -1
    assert "api_books_balance" not in found, "nothing was compared"
    await feed(series, commit([row("a", 1), row("b", 2)], 7))
    series.become(ViewState.RUNNING)
    found = await numbers(caller)
    assert found["api_series_running"] == 1
    assert found['api_series_applied_offset{partition="0"}'] == 7
    assert found["api_series_lag_records"] == 4
    assert found["api_series_rows_written_total"] == 2
    assert found["api_series_copy_bytes"] > 4096


@pytest.mark.parametrize(("total", "balance"), [(1, 1), (2, 0)])
async def test_metrics_say_whether_the_books_balance(
    caller: Caller, series: SeriesView, total: int, balance: int
) -> None:
    await feed(series, commit([row("a", total)], 9, counted=1))
    series.become(ViewState.RUNNING)
    view = caller.services.live.view
    assert view is not None
    await caller.services.live.books.look(view, series)  # type: ignore[attr-defined]
    found = await numbers(caller)
    assert found["api_books_balance"] == balance
    assert 0 <= found["api_books_compared_seconds"] < 60
