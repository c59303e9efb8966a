"""Whether the books balance: totals and series compared at equal applied offsets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from api.view import books as module
from api.view.books import Books
from api.view.followed_view import ViewState
from api.view.series_view import SeriesView
from api.view.totals_view import TotalsView
from contract.view_versions import ViewVersion
from tests.api_doubles import HandmadeLive, changelog_chunk, transaction
from tests.series_records import commit, row
from tests.totals_double import FedView
from tests.unit.api.test_series_view import copy_in


class Setting:
    """Totals and a series of two partitions, fed by hand."""

    def __init__(self, directory: Path) -> None:
        self.now = 0.0
        self.view: TotalsView = FedView(1, 2)
        self.series_view = SeriesView(1, 2, copy_in(directory, ViewVersion(1, "live", 2, "2")))
        self.books = Books(cast(Any, self), clock=lambda: self.now)
        self._starts = {"totals": 0, "series": 0}

    async def totals(self, totals: dict[str, tuple[int, int]], offset: int, **kinds: Any) -> None:
        await self.view.apply(changelog_chunk(transaction(totals, offset, **kinds)))

    async def rows(
        self, rows: list[tuple[bytes, bytes]], offset: int, partition: int = 0, **kinds: Any
    ) -> None:
        records = commit(rows, offset, **kinds)
        await self.series_view.apply(changelog_chunk(records, partition=partition))
        await self.series_view.merge()

    async def look(self) -> bool | None:
        await self.books.look(self.view, self.series_view)
        return self.books.balance


@pytest.fixture
async def setting(tmp_path: Path) -> AsyncIterator[Setting]:
    setting = Setting(tmp_path)
    await setting.series_view.resume()
    await setting.view.resume()
    for each in (setting.view, setting.series_view):
        each.become(ViewState.RUNNING)  # type: ignore[attr-defined]
    yield setting
    await setting.series_view.copy.close()


async def test_they_balance_where_all_sums_agree(setting: Setting) -> None:
    assert setting.books.balance is None, "nothing was compared"
    await setting.totals({"a": (7, 3), "b": (1, 1)}, 4, counted=4)
    places = [row("a", 5, 2), row("a", 2, location="Hall"), row("b", 1, hour=9)]
    await setting.rows(places, 4, counted=4)
    assert await setting.look() is True


@pytest.mark.parametrize("wrong", [row("b", 2), row("b", 1, 2)])
async def test_a_sum_or_a_number_that_differs_is_seen_and_said(
    setting: Setting, wrong: tuple[bytes, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    await setting.totals({"a": (7, 3), "b": (1, 1)}, 4, counted=4)
    await setting.rows([row("a", 7, 3), wrong], 4, counted=4)
    assert await setting.look() is False
    assert "the sum of totals is 8 of 4 readings" in caplog.text


async def test_sums_at_other_offsets_are_not_compared(setting: Setting) -> None:
    await setting.totals({"a": (7, 3)}, 4, counted=3)
    await setting.rows([row("a", 5, 2)], 3, counted=2)
    assert await setting.look() is None
    await setting.rows([row("a", 7, 3)], 4, counted=3)
    assert await setting.look() is True


async def test_a_series_that_has_come_on_meanwhile_is_not_compared(setting: Setting) -> None:
    await setting.rows([row("a", 7, 3)], 4)
    await setting.totals({"a": (7, 3)}, 4)
    assert module._sums(setting.view, setting.series_view, [3, -1]) is None
    assert module._sums(setting.view, setting.series_view, [4, -1]) == ((7, 3), (7, 3))
    await setting.totals({"a": (8, 4)}, 5)
    assert module._sums(setting.view, setting.series_view, [4, -1]) is None


async def test_what_the_markers_count_is_compared_in_each_partition(setting: Setting) -> None:
    assert await setting.look() is True, "of nothing"
    await setting.totals({"a": (7, 3)}, 4, counted=3)
    # Partition 1 of the series is ahead: sums cannot be compared.
    await setting.rows([row("a", 1)], 9, partition=1, counted=1)
    await setting.rows([row("a", 7, 3)], 4, counted=2)
    assert await setting.look() is False


async def test_sums_are_compared_again_only_after_a_while(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = []
    plain = module._sums

    def counted(view: TotalsView, series: SeriesView, offsets: list[int]) -> Any:
        compared.append(offsets)
        return plain(view, series, offsets)

    monkeypatch.setattr(module, "_sums", counted)
    for _ in range(3):
        await setting.look()
    assert len(compared) == 1
    setting.now += module.COMPARE_SECONDS + 1
    assert setting.books.compared_seconds_ago() == module.COMPARE_SECONDS + 1
    await setting.look()
    assert len(compared) == 2


async def test_a_series_that_is_loaded_anew_was_not_compared_yet(
    setting: Setting, tmp_path: Path
) -> None:
    await setting.look()
    assert setting.books.balance is True
    setting.series_view = SeriesView(1, 2, copy_in(tmp_path / "anew"))
    assert setting.books.balance is None
    assert await setting.look() is None, "it is not running"


async def test_without_a_series_there_is_nothing_to_compare() -> None:
    assert Books(HandmadeLive(FedView(1, 1))).balance is None
