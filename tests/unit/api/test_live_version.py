"""Which view the API serves while the pointer moves forward, back, and versions are dropped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from api.view import live_version as module
from api.view.followed_view import ViewState
from api.view.live_version import LiveView
from api.view.version_view import ViewVersionView
from contract.changelog import Marker
from contract.view_versions import Views, ViewVersion
from contract.view_versions import ViewState as VersionState


class FakeFollower:
    """A follower whose view goes where the test takes it."""

    made: list[FakeFollower]

    def __init__(self, _: object, connection: object, version: ViewVersion) -> None:
        self.view = ViewVersionView(version.view_version, 1)
        self.is_over = False
        self.made.append(self)

    async def run(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            self.is_over = True

    def reach(self, offset: int) -> None:
        self.view.partitions[0].show({}, Marker(offset))
        self.view.become(ViewState.RUNNING)

    def start_over(self) -> None:
        self.view.become(ViewState.CATCHING_UP)
        self.view.retire()
        self.view = ViewVersionView(self.view.view_version, 1)


@pytest.fixture
async def live(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LiveView]:
    FakeFollower.made = []
    monkeypatch.setattr(module, "Follower", FakeFollower)
    monkeypatch.setattr(module, "SWITCH_SECONDS", 0.001)
    live = LiveView({})
    yield live
    tasks: list[Any] = [*live._tasks.values(), live._switching, live._keeping]
    for task in filter(None, tasks):
        task.cancel()
    await asyncio.gather(*filter(None, tasks), return_exceptions=True)


def views_of(*states: VersionState) -> Views:
    versions = {n: ViewVersion(n, state, 1, "1") for n, state in enumerate(states, start=1)}
    return Views(states.index("live") + 1, versions)


def follower(number: int) -> FakeFollower:
    """The one of a version; it was made once."""
    [found] = [each for each in FakeFollower.made if each.view.view_version == number]
    return found


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not is_so():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.001)


async def settled() -> None:
    """Give every task some turns."""
    for _ in range(20):
        await asyncio.sleep(0.001)


def served(live: LiveView) -> int:
    return live.running().view_version


async def test_the_version_before_stays_loaded_and_going_back_takes_one_step(
    live: LiveView,
) -> None:
    live._turn_to(views_of("live"))
    follower(1).reach(10)
    assert served(live) == 1
    live._turn_to(views_of("previous", "live"))
    follower(2).reach(9)
    await settled()
    assert served(live) == 1, "it would fall from 10 to 9"
    follower(2).reach(10)
    await until(lambda: served(live) == 2)
    assert not follower(1).is_over
    live._turn_to(views_of("live", "previous"))
    await until(lambda: served(live) == 1)
    assert not follower(2).is_over


async def test_a_dropped_version_is_forgotten_but_never_the_one_served(live: LiveView) -> None:
    live._turn_to(views_of("live"))
    follower(1).reach(10)
    live._turn_to(views_of("dropped", "live"))
    await settled()
    assert served(live) == 1
    assert not follower(1).is_over
    follower(2).reach(10)
    await until(lambda: served(live) == 2)
    live._turn_to(views_of("dropped", "live"))
    await until(lambda: follower(1).is_over)
    assert live._followers.keys() == {2}


async def test_offsets_that_were_shown_bind_also_while_their_view_is_loaded_again(
    live: LiveView,
) -> None:
    live._turn_to(views_of("live"))
    follower(1).reach(10)
    assert served(live) == 1
    follower(1).start_over()
    live._turn_to(views_of("previous", "live"))
    follower(2).reach(5)
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
