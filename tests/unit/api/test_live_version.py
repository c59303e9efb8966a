"""Which view the API serves while the pointer moves forward, back, and versions are dropped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from api.errors import NoSeries, ViewNotRunning
from api.view import followed_version, serving, version_views
from api.view import live_version as module
from api.view.copy.copies import Copies
from api.view.followed_view import ViewState
from api.view.live_version import LiveView
from api.view.series_view import SeriesView
from api.view.totals_view import TotalsView
from contract.changelog import Marker
from contract.energy_series import ENERGY_SERIES
from contract.view_versions import Views, ViewVersion
from contract.view_versions import ViewState as VersionState
from tests.waiting import until


class FakeFollower:
    """A follower whose view goes where the test takes it."""

    made: list[FakeFollower]

    def __init__(
        self,
        new_view: Callable[[int, int], TotalsView | SeriesView],
        connection: object,
        version: ViewVersion,
        **_: object,
    ) -> None:
        self.new_view = new_view
        self.view = new_view(version.view_version, 1)
        self.is_over = False
        self.made.append(self)

    async def run(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            self.is_over = True

    def reach(self, offset: int) -> None:
        self.view.partitions[0].pass_marker(Marker(offset))
        self.view.transactions += 1
        self.view.become(ViewState.RUNNING)

    def start_over(self) -> None:
        self.view.become(ViewState.CATCHING_UP)
        self.view.retire()
        self.view = self.new_view(self.view.view_version, 1)


@pytest.fixture
async def live(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[LiveView]:
    FakeFollower.made = []
    monkeypatch.setattr(followed_version, "Follower", FakeFollower)
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.001)
    monkeypatch.setattr(serving, "SWITCH_SECONDS", 0.001)
    live = LiveView({}, Copies(tmp_path, 100_000_000))
    yield live
    tasks: list[Any] = [live._switching, live._keeping]
    for task in filter(None, tasks):
        task.cancel()
    ends = [each.stop() for each in live._followed.values()]
    await asyncio.gather(*ends, *filter(None, tasks), *live._ending, return_exceptions=True)


def views_of(*states: VersionState, rules: str = "1") -> Views:
    """Rules 2 have a series, too."""
    versions = {n: ViewVersion(n, state, 1, rules) for n, state in enumerate(states, start=1)}
    return Views(states.index("live") + 1, versions)


def follower(number: int) -> FakeFollower:
    """The one of a version's totals; it was made once."""
    return made_for(TotalsView, number)


def series(number: int) -> FakeFollower:
    """The one of a version's series."""
    return made_for(SeriesView, number)


def made_for(kind: type, number: int) -> FakeFollower:
    [found] = [
        each
        for each in FakeFollower.made
        if isinstance(each.view, kind) and each.view.view_version == number
    ]
    return found


def turn_to(
    live: LiveView, *states: VersionState, rules: str = "1", totals: int, series: int | None = None
) -> None:
    """And have the newest version reach these offsets."""
    live._turn_to(views_of(*states, rules=rules))
    follower(len(states)).reach(totals)
    if series is not None:
        made_for(SeriesView, len(states)).reach(series)


async def settled() -> None:
    """Give every task some turns."""
    for _ in range(20):
        await asyncio.sleep(0.001)


def served(live: LiveView) -> int:
    return live.running().view_version


async def test_the_version_before_stays_loaded_and_going_back_takes_one_step(
    live: LiveView,
) -> None:
    turn_to(live, "live", totals=10)
    assert served(live) == 1
    turn_to(live, "previous", "live", totals=9)
    await settled()
    assert served(live) == 1, "it would fall from 10 to 9"
    follower(2).reach(10)
    await until(lambda: served(live) == 2)
    assert not follower(1).is_over
    live._turn_to(views_of("live", "previous"))
    await until(lambda: served(live) == 1)
    assert not follower(2).is_over


async def test_a_dropped_version_is_forgotten_but_never_the_one_served(live: LiveView) -> None:
    turn_to(live, "live", totals=10)
    live._turn_to(views_of("dropped", "live"))
    await settled()
    assert served(live) == 1
    assert not follower(1).is_over
    follower(2).reach(10)
    await until(lambda: served(live) == 2)
    live._turn_to(views_of("dropped", "live"))
    await until(lambda: follower(1).is_over)
    assert live._followed.keys() == {2}


async def test_offsets_that_were_shown_bind_also_while_their_view_is_loaded_again(
    live: LiveView,
) -> None:
    turn_to(live, "live", totals=10)
    assert served(live) == 1
    follower(1).start_over()
    turn_to(live, "previous", "live", totals=5)
    await settled()
    assert live.view is follower(1).view
    follower(2).reach(11)
    await until(lambda: live.view is follower(2).view)


async def test_the_version_before_is_loaded_only_after_the_live_one(live: LiveView) -> None:
    live._turn_to(views_of("previous", "live"))
    await settled()
    assert [each.view.view_version for each in FakeFollower.made] == [2]
    follower(2).reach(0)
    await until(lambda: len(FakeFollower.made) == 2)
    assert follower(1).view.view_version == 1


async def test_a_version_without_a_series_names_the_command_that_makes_one(
    live: LiveView,
) -> None:
    with pytest.raises(ViewNotRunning):
        live.series()
    live._turn_to(views_of("live"))
    FakeFollower.made[0].reach(1)
    with pytest.raises(NoSeries, match=r"view version 1 .*`energy replay start --series on`"):
        live.series()


async def test_totals_are_served_while_the_series_is_loaded(live: LiveView) -> None:
    turn_to(live, "live", rules="2", totals=10)
    assert served(live) == 1
    with pytest.raises(ViewNotRunning):
        live.series()
    series(1).reach(7)
    assert live.series().shown_offsets() == [7]
    assert live.series().view_version == 1
    series(1).start_over()
    with pytest.raises(ViewNotRunning):
        live.series()
    assert served(live) == 1


async def test_a_version_is_switched_to_with_its_series(live: LiveView) -> None:
    turn_to(live, "live", rules="2", totals=10, series=8)
    turn_to(live, "previous", "live", rules="2", totals=12, series=7)
    await settled()
    assert served(live) == 1, "the series would fall from 8 to 7"
    series(2).reach(8)
    await until(lambda: served(live) == 2)
    assert live.series().shown_offsets() == [8]
    assert not series(1).is_over


async def test_a_series_that_nobody_was_shown_is_not_waited_for(live: LiveView) -> None:
    turn_to(live, "live", rules="2", totals=10)
    turn_to(live, "previous", "live", rules="2", totals=12)
    await until(lambda: served(live) == 2)


async def test_a_series_that_was_shown_is_waited_for_also_while_it_is_loaded_again(
    live: LiveView,
) -> None:
    turn_to(live, "live", rules="2", totals=10, series=8)
    live.series()
    series(1).start_over()
    turn_to(live, "previous", "live", rules="2", totals=12, series=7)
    await settled()
    assert served(live) == 1
    series(2).reach(8)
    await until(lambda: served(live) == 2)


async def test_a_version_without_a_series_is_switched_to_at_once(live: LiveView) -> None:
    turn_to(live, "live", rules="2", totals=10, series=8)
    views = views_of("previous", "live", rules="2")
    views.versions[2] = ViewVersion(2, "live", 1, "1")
    live._turn_to(views)
    follower(2).reach(10)
    await until(lambda: served(live) == 2)
    with pytest.raises(NoSeries):
        live.series()


async def test_a_series_with_a_problem_holds_up_no_switch(live: LiveView) -> None:
    turn_to(live, "live", rules="2", totals=10, series=8)
    turn_to(live, "previous", "live", rules="2", totals=12)
    await settled()
    assert served(live) == 1
    series(2).view.become(ViewState.CATCHING_UP, "no room on the disk")
    await until(lambda: served(live) == 2)


async def test_a_series_is_waited_for_as_long_as_it_comes_on(
    live: LiveView, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(version_views, "PATIENCE_SECONDS", 0.3)
    turn_to(live, "live", rules="2", totals=10, series=8)
    turn_to(live, "previous", "live", rules="2", totals=12)
    for offset in range(6):
        series(2).reach(offset)
        await asyncio.sleep(0.1)
        assert served(live) == 1
    await until(lambda: served(live) == 2)


async def test_reads_of_the_series_are_waited_for_where_they_are_asked_for(
    live: LiveView,
) -> None:
    turn_to(live, "live", rules="2", totals=10)
    await live.reached({0: 10})
    waiting = asyncio.create_task(live.reached({0: 10}, with_series=True))
    await settled()
    assert not waiting.done()
    series(1).reach(9)
    await settled()
    assert not waiting.done()
    series(1).reach(10)
    await waiting


async def test_without_a_series_waiting_for_all_is_waiting_for_totals(live: LiveView) -> None:
    turn_to(live, "live", totals=10)
    await live.reached({0: 10}, with_series=True)


async def test_who_waits_for_a_series_goes_on_with_the_next_version(live: LiveView) -> None:
    turn_to(live, "live", rules="2", totals=10, series=8)
    waiting = asyncio.create_task(live.reached({0: 9}, with_series=True))
    await settled()
    turn_to(live, "previous", "live", rules="2", totals=12, series=12)
    await waiting
    assert served(live) == 2


async def test_the_copy_of_a_dropped_version_is_removed(live: LiveView, tmp_path: Path) -> None:
    turn_to(live, "live", rules="2", totals=10)
    await series(1).view.resume()
    series(1).reach(8)
    names = [ENERGY_SERIES.changelog(number).name for number in (1, 2)]
    assert (tmp_path / names[0]).is_dir()
    turn_to(live, "previous", "live", rules="2", totals=10)
    await series(2).view.resume()
    series(2).reach(8)
    await until(lambda: served(live) == 2)
    await settled()
    assert (tmp_path / names[0]).is_dir()
    live._turn_to(views_of("dropped", "live", rules="2"))
    await until(lambda: not (tmp_path / names[0]).exists())
    assert (tmp_path / names[1]).is_dir()
    assert series(1).is_over
    assert follower(1).is_over
