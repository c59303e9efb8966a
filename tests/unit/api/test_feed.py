"""The feed: what a follower tells, and what readers in another process make of it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from api.errors import ViewNotRunning
from api.view import fed_view, serving
from api.view.changed_keys import ChangedKeys
from api.view.copy.commit import Commit
from api.view.copy.copies import Copies
from api.view.copy.errors import CopyError
from api.view.copy.kept_copy import KeptCopy
from api.view.fed_view import FedView
from api.view.feed import receiver, sender
from api.view.feed.picture import BooksPicture, Picture, frame_of, length_in, picture_in
from api.view.feed.receiver import FeedLost, pictures, short_address
from api.view.feed.sender import FeedSender
from api.view.followed_view import ViewState
from api.view.serving import Serving
from api.view.totals_copy.snapshot import TotalsSnapshot
from api.view.totals_view import TotalsView
from api.view.version_views import VersionViews
from contract.changelog import Marker
from contract.view_versions import ViewVersion
from tests.api_doubles import changelog_chunk, transaction
from tests.totals_double import copies_in_memory
from tests.waiting import until

VERSION = ViewVersion(1, "live", 1, "1")
NEXT = ViewVersion(2, "live", 1, "1")


class Followed(VersionViews):
    """Views of a version that a test feeds."""

    def __init__(self, version: ViewVersion, copies: Copies) -> None:
        super().__init__(version)
        self.copy = copies.totals_of(version)
        self.on_change: Callable[[], None] = lambda: None
        self.begin_anew()

    def begin_anew(self) -> None:
        self._totals = TotalsView(self.version.view_version, self.version.partitions, self.copy)
        self._totals.on_change = self.on_change  # type: ignore[attr-defined]

    @property
    def totals(self) -> TotalsView:
        return self._totals

    @property
    def series(self) -> None:
        return None


class Following(Serving):
    """The following side, whose views a test feeds."""

    def __init__(self) -> None:
        super().__init__()
        self.books = SimpleNamespace(balance=True, compared_seconds_ago=lambda: 7.0)

    async def run(self) -> None:
        """Nothing is read."""

    def has_switched(self) -> None:
        """Nothing is let go."""


class SameCopy:
    """The follower's copy, as a process that reads it has it."""

    def __init__(
        self, copy: KeptCopy[TotalsSnapshot], opened: list[ViewVersion], version: Any
    ) -> None:
        self._copy, self._opened, self._version = copy, opened, version
        self.what = "the totals are"
        self.problem: str | None = None

    def snapshot(self, check: Any) -> Any:
        return self._copy.snapshot(check)

    def open_what_is_there(self) -> None:
        if self.problem is not None:
            raise CopyError(self.problem)
        self._opened.append(self._version)

    async def close(self) -> None:
        """It is the follower's."""


class SameCopies:
    def __init__(self) -> None:
        self.of: dict[int, Followed] = {}
        self.made: dict[int, SameCopy] = {}
        self.opened: list[ViewVersion] = []

    def totals_of(self, version: ViewVersion) -> SameCopy:
        copy = self.of[version.view_version].copy
        return self.made.setdefault(version.view_version, SameCopy(copy, self.opened, version))

    def series_of(self, version: ViewVersion) -> None:
        return None


class Pair:
    """A follower and a reader, as two processes would be."""

    def __init__(self, directory: Path) -> None:
        self.address = directory / "feed"
        self.copies = copies_in_memory()
        self.live = Following()
        self.same = SameCopies()
        self.fed = FedView(self.address, cast(Copies, self.same))
        self.sending: asyncio.Task[None] | None = None
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.address))
        self.listener.listen()
        self.listener.setblocking(False)

    def followed(self, version: ViewVersion = VERSION) -> Followed:
        self.same.of[version.view_version] = followed = Followed(version, self.copies)
        return followed

    def start_follower(self) -> None:
        """Start one in place of the last; it has forgotten all."""
        self.sender = FeedSender(self.live)
        for each in self.same.of.values():
            each.on_change = each.totals.on_change = self.sender.changed
        self.sending = asyncio.create_task(self.sender.run(self.listener.dup()))

    async def end_follower(self) -> None:
        self.sending.cancel()
        await asyncio.wait([self.sending])


@pytest.fixture
async def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pair]:
    monkeypatch.setattr(serving, "SWITCH_SECONDS", 0.001)
    monkeypatch.setattr(fed_view, "RETRY_SECONDS", 0.01)
    # Nothing here may depend on it.
    monkeypatch.setattr(sender, "BEAT_SECONDS", 5.0)
    pair = Pair(tmp_path)
    running = asyncio.create_task(pair.fed.run())
    yield pair
    running.cancel()
    if pair.sending is not None:
        await pair.end_follower()
    await asyncio.wait([running])
    pair.listener.close()


async def run(followed: Followed) -> None:
    await followed.totals.resume()
    followed.totals.become(ViewState.RUNNING)


async def commit(followed: Followed, device: str, total: int, offset: int) -> None:
    records = transaction({device: (total, 1)}, offset)
    await followed.totals.apply(changelog_chunk(records))
    await followed.totals.merge()


def readings(fed: FedView, device: str) -> Any:
    total, _ = fed.running().total(device)
    return total and total.total_energy_consumed


async def served(pair: Pair) -> Followed:
    """A running version, with a device, that the reader serves."""
    followed = pair.followed()
    pair.live.serve(followed)
    pair.start_follower()
    await run(followed)
    await commit(followed, "a", 5, 3)
    await until(lambda: pair.fed.view is not None and pair.fed.view.applied_offsets() == [3])
    return followed


async def test_what_a_follower_shows_its_readers_show(pair: Pair) -> None:
    with pytest.raises(ViewNotRunning):
        pair.fed.running()
    followed = await served(pair)
    assert readings(pair.fed, "a") == 5
    waiting = asyncio.create_task(pair.fed.reached({0: 4}))
    await asyncio.sleep(0)
    await commit(followed, "b", 6, 4)
    async with asyncio.timeout(2):
        await waiting
    assert readings(pair.fed, "b") == 6
    assert pair.fed.books.balance is True
    assert 7.0 <= pair.fed.books.compared_seconds_ago() < 20.0


async def test_a_problem_of_the_follower_is_told(pair: Pair) -> None:
    pair.start_follower()
    pair.live.problem = "no view version is live yet"
    pair.sender.changed()
    await until(lambda: pair.fed.problem == "no view version is live yet")
    followed = await served(pair)
    followed.totals.become(ViewState.CATCHING_UP, "corrupt changelog")
    await until(lambda: pair.fed.view and pair.fed.view.problem == "corrupt changelog")
    with pytest.raises(ViewNotRunning):
        pair.fed.running()


async def test_without_the_feed_nothing_is_read_and_with_it_no_less_than_before(
    pair: Pair,
) -> None:
    followed = await served(pair)
    assert readings(pair.fed, "a") == 5
    await pair.end_follower()
    await until(lambda: pair.fed.view and pair.fed.view.state is not ViewState.RUNNING)
    assert "has ended" in str(pair.fed.view.problem)
    # Another one, which is not as far as its predecessor was.
    followed.begin_anew()
    await followed.copy.write({}, [Commit(0, {}, Marker(2), 3)])
    await followed.totals.resume()
    pair.start_follower()
    followed.totals.become(ViewState.RUNNING)
    for _ in range(20):
        await asyncio.sleep(0.005)
        with pytest.raises(ViewNotRunning):
            pair.fed.running()
    await followed.copy.write({}, [Commit(0, {}, Marker(3), 4)])
    await followed.totals.resume()
    followed.totals.on_change()
    await until(lambda: pair.fed.view and pair.fed.view.state is ViewState.RUNNING)
    assert pair.fed.running().shown_offsets() == [3]


async def test_a_version_is_switched_to_when_it_shows_no_less(pair: Pair) -> None:
    await served(pair)
    pair.fed.running()
    following = pair.followed(NEXT)
    following.totals.on_change = pair.sender.changed
    await run(following)
    await commit(following, "a", 9, 2)
    # As a follower that was started again and never served the first one would.
    pair.live._serving = following
    pair.sender.changed()
    for _ in range(20):
        await asyncio.sleep(0.005)
        assert pair.fed.running().view_version == 1
    await commit(following, "a", 10, 3)
    await until(lambda: pair.fed.running().view_version == 2)
    assert readings(pair.fed, "a") == 10


async def test_a_view_that_is_begun_anew_is_another_one_for_who_watches_it(pair: Pair) -> None:
    followed = await served(pair)
    former = pair.fed.running()
    waiting = asyncio.create_task(former.reached({0: 99}))
    await asyncio.sleep(0)
    followed.begin_anew()
    await run(followed)
    await until(lambda: pair.fed.view is not former)
    assert await waiting is False, "it will never be reached there"
    assert pair.same.opened == [VERSION, VERSION], "the copy may have been made anew"


async def test_the_keys_that_change_are_told(pair: Pair) -> None:
    followed = await served(pair)
    view = pair.fed.running()
    view.changed = ChangedKeys()
    await commit(followed, "b", 6, 4)
    await commit(followed, "a", 7, 5)
    await until(lambda: view.applied_offsets() == [5])
    assert {key for keys in view.changed.take() for key in keys} == {b"a", b"b"}


async def test_a_copy_that_cannot_be_opened_is_no_view_that_runs(pair: Pair) -> None:
    followed = await served(pair)
    pair.same.made[1].problem = "the reader's copy is damaged"
    followed.begin_anew()
    await run(followed)
    await until(lambda: pair.fed.view and pair.fed.view.problem == "the reader's copy is damaged")
    with pytest.raises(ViewNotRunning):
        pair.fed.running()
    pair.same.made[1].problem = None
    pair.sender.changed()
    await until(lambda: pair.fed.view and pair.fed.view.state is ViewState.RUNNING)


async def test_a_follower_that_is_stopped_is_told_from_one_that_has_nothing_to_say(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiver, "SILENT_SECONDS", 0.1)
    await served(pair)
    await until(lambda: pair.fed.view and pair.fed.view.problem)
    assert "does not answer" in str(pair.fed.view.problem)


async def test_a_reader_that_takes_nothing_is_cut_off(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "WAITING_BYTES", 1_000)
    followed = await served(pair)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        silent.connect(str(pair.address))
        await until(lambda: len(pair.sender._readers) == 2)
        for offset in range(4, 5_000):
            await commit(followed, "a" * 200, offset, offset)
            if len(pair.sender._readers) == 1:
                break
        assert len(pair.sender._readers) == 1
    await until(lambda: pair.fed.view and pair.fed.view.applied_offsets() == [offset])


@pytest.mark.parametrize("said", [b"\x00\x00\x00\x02\x93\x01", b"HTTP/1.1 400"])
async def test_what_is_no_frame_of_this_build_is_a_lost_feed(tmp_path: Path, said: bytes) -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        await writer.drain()
        await ended.wait()
        writer.transport.abort()

    ended = asyncio.Event()
    server = await asyncio.start_unix_server(answer, str(tmp_path / "feed"))
    try:
        with pytest.raises(FeedLost, match="another build"):
            await anext(pictures(tmp_path / "feed"))
    finally:
        ended.set()
        server.close()


def test_a_frame_says_how_long_it_is() -> None:
    picture = Picture("why", None, BooksPicture(None, 1.5), [b"\xff\x00"])
    frame = frame_of(picture)
    assert length_in(frame[:4]) == len(frame) - 4
    assert picture_in(frame[4:]) == picture
    for wrong in (b"\x00\x00\x00\x00", b"\xff\xff\xff\xff"):
        with pytest.raises(ValueError, match="a frame of"):
            length_in(wrong)


def test_a_long_path_of_the_feed_gets_a_short_name(tmp_path: Path) -> None:
    directory = tmp_path / ("long" * 40)
    directory.mkdir()
    with socket.socket(socket.AF_UNIX) as listener, short_address(directory / "feed") as short:
        listener.bind(short)
        assert (directory / "feed").is_socket()
