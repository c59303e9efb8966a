"""The series in its copy on disk: whole commits, restarts, what is not to be gone on with."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError

from api.errors import ViewNotRunning
from api.view.changelog_follower import STALE_SECONDS, Follower
from api.view.copy.copies import Copies
from api.view.copy.errors import CopyError, CopyFull
from api.view.copy.kept_copy import KeptCopy
from api.view.followed_view import ViewState, ViewUnusable
from api.view.series import Filter, Period
from api.view.series_copy.copy import SeriesCopy
from api.view.series_view import REMOVALS_SECONDS, SeriesView
from contract.before_rows import Before, encode_before
from contract.changelog import Birth, RolledUp
from contract.energy_series import ENERGY_SERIES
from contract.errors import CorruptRecord, DoesNotFollow
from contract.hour_rows import BEFORE, HourKey, encode_key
from contract.view_versions import ViewVersion
from tests.api_doubles import changelog_chunk
from tests.reader_double import ReaderDouble
from tests.series_records import BIRTH, Records, birth, commit, key_of, marker, row
from tests.waiting import until

VERSION = ViewVersion(1, "live", 1, "2")


ALL = Filter()


def copy_in(directory: Path, version: ViewVersion = VERSION) -> KeptCopy:
    copy = Copies(directory, 100_000_000).series_of(version)
    assert copy is not None
    return copy


def totals_of(view: SeriesView) -> dict[str, tuple[object, int]]:
    with view.snapshot() as series:
        return {each.device_id: (each.total, each.readings) for each in series.by_device(None, ALL)}


async def feed(view: SeriesView, records: Records, start: int = 0) -> None:
    """Let a fetch come."""
    await view.apply(changelog_chunk(records, start=start))
    await view.merge()


@pytest.fixture
async def view(tmp_path: Path) -> AsyncIterator[SeriesView]:
    view = SeriesView(1, 2, copy_in(tmp_path))
    assert await view.resume() == {}
    view.become(ViewState.RUNNING)
    yield view
    await view.copy.close()


async def test_rows_are_shown_with_the_marker_of_their_commit(view: SeriesView) -> None:
    records = commit([row("a", 5), row("b", 7)], 1)
    for place, record in enumerate(records[:-1]):
        await view.apply(changelog_chunk([record], start=place))
        await view.merge()
        assert totals_of(view) == {}
        assert view.applied_offsets() == [-1, -1]
    await view.apply(changelog_chunk(records[-1:], start=2))
    await view.merge()
    assert totals_of(view) == {"a": (5, 1), "b": (7, 1)}
    assert view.applied_offsets() == [1, -1]
    assert (view.rows_written, view.transactions) == (2, 1)
    with view.snapshot() as series:
        assert series.applied_offsets == [1, -1]


async def test_the_commits_of_a_fetch_are_written_together_and_whoever_waits_is_told_then(
    view: SeriesView, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[list[int]] = []
    threads = set()
    plain = SeriesCopy.write

    def write(self: SeriesCopy, commits: Any) -> None:
        written.append([each.marker.applied_offset for each in commits])
        threads.add(threading.current_thread())
        plain(self, commits)

    monkeypatch.setattr(SeriesCopy, "write", write)
    waiting = asyncio.create_task(view.reached({0: 2}))
    await view.apply(changelog_chunk(commit([row("a", 1)], 1) + commit([row("a", 2, 2)], 2)))
    await view.apply(changelog_chunk(commit([row("a", 5)], 7), partition=1))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await view.merge()
    assert await waiting
    assert written == [[1, 2, 7]]
    assert threading.main_thread() not in threads
    assert totals_of(view) == {"a": (7, 3)}
    await view.merge()
    assert len(written) == 1, "nothing came"


async def test_a_row_that_is_removed_is_gone(view: SeriesView) -> None:
    await view.apply(changelog_chunk(commit([row("a", 1), row("b", 2)], 1)))
    await view.apply(changelog_chunk(commit([(key_of("a"), None)], 2), start=3))
    await view.merge()
    assert totals_of(view) == {"b": (2, 1)}


async def test_what_is_rolled_up_is_before_at_the_same_offset(view: SeriesView) -> None:
    hours = [row("a", 5, hour=30), row("a", 7, hour=31), row("a", 1, hour=60)]
    await feed(view, commit(hours, 2))
    assert view.removed_rows() == [0, 0]
    value = encode_before(Before(108_000, 111_601, 2, 12))
    before = encode_key(HourKey("a", BEFORE, "Kitchen")), value
    removed = [(key, None) for key, _ in hours[:2]]
    rolled_up = RolledUp(48, 2)
    await feed(view, commit([before, *removed], 2, v=3, rolled_up=rolled_up), 10)
    assert totals_of(view) == {"a": (13, 3)}
    assert view.applied_offsets() == [2, -1]
    # So an answer of before has another ETag.
    assert view.removed_rows() == [2, 0]
    with view.snapshot() as series:
        assert series.extent(ALL) == Period(240, 241)
        assert series.extent(Filter(["a"])) == Period(240, 241)
        assert series.by_device(Period(0, 240), ALL) == []
        device = series.device("a", ALL)
        assert (device.first, device.last) == (108_000, 216_001)


async def test_keys_of_a_later_build_are_passed_over(view: SeriesView) -> None:
    later: Records = [(b"\x00later", b"?"), (b"\x00later", None), (b"\x00row", row("x", 1)[1])]
    await view.apply(changelog_chunk([*later, *commit([row("a", 1)], 1)]))
    await view.merge()
    assert totals_of(view) == {"a": (1, 1)}


@pytest.mark.parametrize(
    "record",
    [
        (b"a\x000000000\x00Kitchen", b"1 2 3"),
        (None, None),
        (None, b"x"),
        (b"\x00applied", None),
        (b"\x00birth", None),
    ],
)
async def test_what_is_no_record_of_ours_spoils_it(
    view: SeriesView, record: tuple[bytes | None, bytes | None]
) -> None:
    with pytest.raises(CorruptRecord):
        await view.apply(changelog_chunk([record]))


async def test_a_row_without_a_key_spoils_it(view: SeriesView) -> None:
    with pytest.raises(CorruptRecord):
        await feed(view, [(None, row("a", 1)[1]), *marker(1)])


@pytest.mark.parametrize("is_merged", [True, False])
async def test_a_marker_that_goes_back_spoils_it_written_or_not(
    view: SeriesView, is_merged: bool
) -> None:
    await view.apply(changelog_chunk(commit([row("a", 1)], 5)))
    if is_merged:
        await view.merge()
    with pytest.raises(DoesNotFollow):
        await view.apply(changelog_chunk(commit([row("a", 9)], 4), start=2))


async def test_a_snapshot_of_a_view_that_is_no_longer_right_is_refused(view: SeriesView) -> None:
    await view.apply(changelog_chunk(commit([row("a", 1)], 1)))
    await view.merge()
    with view.snapshot() as before:
        view.become(ViewState.CATCHING_UP)
        await view.forget()
        assert [each.device_id for each in before.by_device(None, ALL)] == ["a"]
    with pytest.raises(ViewNotRunning), view.snapshot():
        pass


async def test_the_loop_goes_on_while_much_is_written(view: SeriesView) -> None:
    # Turns, not times: how long one takes is the machine's.
    rows = [row(f"device_{number}", number, hour=number % 24) for number in range(5_000)]
    await view.apply(changelog_chunk(commit(rows, 1)))
    turns = 0
    writing = asyncio.create_task(view.merge())
    while not writing.done():
        await asyncio.sleep(0.001)
        turns += 1
    assert turns > 10


class Log(ReaderDouble):
    """A changelog of one partition, read as a ChunkReader would."""

    def __init__(self, records: Records) -> None:
        super().__init__()
        self.records = records
        #: Where each chunk began; -1: a connection was closed.
        self.read: list[int] = []
        self.is_away = False

    async def end_offsets(self, partitions: Iterable[int]) -> dict[int, int]:
        if self.is_away:
            raise KafkaConnectionError
        return {0: len(self.records)}

    async def chunks(self, timeout_seconds: float) -> list[Any]:
        await asyncio.sleep(0.001)
        at = self.at[0]
        if at == len(self.records) or self.is_away:
            return []
        chunk = changelog_chunk(self.records[at:], start=at)
        self.read.append(at)
        self.at[0] = chunk.next_offset
        return [chunk]

    async def __aexit__(self, *_: object) -> None:
        self.read.append(-1)

    def births(self) -> dict[int, Birth]:
        return {0: BIRTH}


@asynccontextmanager
async def following(
    directory: Path, log: Log, born: Birth = BIRTH, clock: Callable[[], float] = time.monotonic
) -> AsyncIterator[Follower[SeriesView]]:
    """A process that follows the log into its copy; RUNNING where it can."""
    copy = copy_in(directory)

    async def births(*_: object) -> dict[int, Birth]:
        return {0: born}

    async def configs(*_: object) -> dict[str, str]:
        return ENERGY_SERIES.changelog(VERSION.view_version).configs

    follower = Follower(
        lambda n, p: SeriesView(n, p, copy),
        {},
        VERSION,
        births=births,
        configs=configs,
        clock=clock,
    )
    task = asyncio.create_task(follower.run())
    try:
        yield follower
    finally:
        task.cancel()
        await asyncio.wait([task])
        await copy.close()


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    log = Log(birth() + commit([row("a", 1), row("b", 2)], 3))
    monkeypatch.setattr("api.view.changelog_follower.ChunkReader", lambda *_, **__: log)
    monkeypatch.setattr("api.view.changelog_follower.BACK_OFF_SECONDS", (0.01,))
    monkeypatch.setattr("api.view.changelog_follower.LONG_RETRY_SECONDS", 0.01)
    monkeypatch.setattr("api.view.changelog_follower.CHECK_SECONDS", 0.01)
    return log


async def running(follower: Follower[SeriesView], applied_offset: int) -> SeriesView:
    while True:
        view = follower.view
        if view.state is ViewState.RUNNING and view.applied_offsets() == [applied_offset]:
            return view
        await asyncio.sleep(0.002)


async def read_once(directory: Path, log: Log) -> None:
    async with following(directory, log) as follower:
        await running(follower, 3)
    log.read.clear()


async def test_a_restart_goes_on_from_the_copy(tmp_path: Path, log: Log) -> None:
    await read_once(tmp_path, log)
    log.records += commit([row("a", 4, 4)], 9)
    async with following(tmp_path, log) as follower:
        view = await running(follower, 9)
        assert log.read == [4], "what was read is not read again"
        assert totals_of(view) == {"a": (4, 4), "b": (2, 1)}
        assert view.log == ("cluster", "series-id")
    log.read.clear()
    async with following(tmp_path, log) as follower:
        assert totals_of(await running(follower, 9)) == {"a": (4, 4), "b": (2, 1)}
        assert log.read == [], "nothing was new"


async def test_half_a_commit_at_the_end_is_read_again_after_a_restart(
    tmp_path: Path, log: Log
) -> None:
    rest = commit([row("a", 8, 8), row("c", 1)], 9)
    log.records += rest[:1]
    await read_once(tmp_path, log)
    log.records += rest[1:]
    async with following(tmp_path, log) as follower:
        view = await running(follower, 9)
        assert log.read[0] == 4
        assert totals_of(view) == {"a": (8, 8), "b": (2, 1), "c": (1, 1)}


async def test_a_marker_that_goes_back_behind_the_copy_spoils_it(tmp_path: Path, log: Log) -> None:
    await read_once(tmp_path, log)
    log.records += commit([row("a", 0)], 2)
    async with following(tmp_path, log) as follower, asyncio.timeout(10):
        await until(lambda: follower.view.problem)
        assert "goes back from applied offset 3 to 2" in follower.view.problem
        with pytest.raises(ViewNotRunning), follower.view.snapshot():
            pass


def another_birth(log: Log, directory: Path) -> Birth:
    return Birth("cluster", "energy_consumption", "source-id", "made again", 0, "2")


def an_older_log(log: Log, directory: Path) -> Birth:
    del log.records[-1:]
    log.records += marker(1)
    log.records[1:-1] = []
    return BIRTH


def a_long_absence(log: Log, directory: Path) -> Birth:
    # The changelog says no more that b was removed.
    log.records = birth() + commit([row("a", 1)], 3)
    log.records += marker(4)
    age_note(directory, REMOVALS_SECONDS + 1)
    return BIRTH


def a_clock_set_back(log: Log, directory: Path) -> Birth:
    age_note(directory, -3600)
    return BIRTH


def a_lost_note(log: Log, directory: Path) -> Birth:
    only(directory, "*.read-up-to").unlink()
    return BIRTH


def age_note(directory: Path, seconds: float) -> None:
    at = time.time() - seconds
    os.utime(only(directory, "*.read-up-to"), (at, at))


def only(directory: Path, pattern: str) -> Path:
    [found] = directory.glob(pattern)
    return found


@pytest.mark.parametrize(
    ("change", "applied"),
    [
        (another_birth, 3),
        (an_older_log, 1),
        (a_long_absence, 4),
        (a_clock_set_back, 3),
        (a_lost_note, 3),
    ],
)
async def test_a_copy_that_may_not_be_gone_on_with_is_read_anew(
    tmp_path: Path,
    log: Log,
    change: Callable[[Log, Path], Birth],
    applied: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await read_once(tmp_path, log)
    born = change(log, tmp_path)
    log.records[0] = birth(born)[0]
    async with following(tmp_path, log, born) as follower:
        view = await running(follower, applied)
        assert 0 in log.read
        assert totals_of(view) == {
            device: found
            for device, found in {"a": (1, 1), "b": (2, 1)}.items()
            if any(key == key_of(device) for key, _ in log.records)
        }
    assert "loading the view again" in caplog.text
    # And that is what the next start goes on from.
    log.read.clear()
    async with following(tmp_path, log, born) as follower:
        await running(follower, applied)
        assert 0 not in log.read


async def test_an_absence_that_compaction_bridges_is_gone_on_from(tmp_path: Path, log: Log) -> None:
    await read_once(tmp_path, log)
    age_note(tmp_path, REMOVALS_SECONDS - 60)
    async with following(tmp_path, log) as follower:
        await running(follower, 3)
        assert log.read == []
    noted_at = only(tmp_path, "*.read-up-to").stat().st_mtime
    assert time.time() - noted_at < 60, "it is at the end now"


async def test_a_process_that_was_cut_off_for_long_reads_anew(tmp_path: Path, log: Log) -> None:
    now = 0.0
    async with following(tmp_path, log, clock=lambda: now) as follower:
        await running(follower, 3)
        log.is_away = True
        await asyncio.sleep(0.05)
        now += STALE_SECONDS + 1
        age_note(tmp_path, REMOVALS_SECONDS + 1)
        # The changelog says no more that b was removed.
        log.records[2] = (b"\x00later", b"")
        log.records += commit([row("a", 4, 4)], 9)
        log.is_away = False
        assert totals_of(await running(follower, 9)) == {"a": (4, 4)}


async def test_a_view_at_the_end_writes_down_that_it_is(
    tmp_path: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.view.copy.kept_copy.NOTED_SECONDS", 0.0)
    async with following(tmp_path, log) as follower:
        view = await running(follower, 3)
        age_note(tmp_path, REMOVALS_SECONDS + 1)
        assert view.may_lack_removals()
        await until(lambda: not view.may_lack_removals())


async def test_a_full_disk_is_named_and_gone_on_from_once_there_is_room(
    tmp_path: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    await read_once(tmp_path, log)
    plain, room = SeriesCopy.write, asyncio.Event()

    def write(self: SeriesCopy, commits: Any) -> None:
        if not room.is_set():
            raise CopyFull("no room on the disk; free some")
        plain(self, commits)

    monkeypatch.setattr(SeriesCopy, "write", write)
    log.records += commit([row("c", 1)], 9)
    async with following(tmp_path, log) as follower:
        await until(lambda: follower.view.problem)
        assert follower.view.problem == "no room on the disk; free some"
        room.set()
        view = await running(follower, 9)
        assert view.problem is None
        assert totals_of(view) == {"a": (1, 1), "b": (2, 1), "c": (1, 1)}
        assert 0 not in log.read


async def test_a_copy_that_is_closed_cannot_be_written(tmp_path: Path) -> None:
    copy = copy_in(tmp_path)
    await copy.stored(1)
    await copy.close()
    with pytest.raises(ViewUnusable):
        await copy.write({}, [])
    with pytest.raises(CopyError, match="closed"), copy.snapshot(lambda: None):
        pass


async def test_a_copy_found_damaged_is_made_anew(tmp_path: Path, log: Log) -> None:
    await read_once(tmp_path, log)
    os.truncate(only(tmp_path, "*/copy/data.mdb"), 5_000)
    async with following(tmp_path, log) as follower:
        assert totals_of(await running(follower, 3)) == {"a": (1, 1), "b": (2, 1)}
        assert 0 in log.read


async def test_copies_of_versions_that_are_gone_are_removed(tmp_path: Path) -> None:
    copies = Copies(tmp_path, 100_000_000)
    for number in (1, 2):
        copy = copies.series_of(ViewVersion(number, "live", 1, "2"))
        await copy.stored(1)
        await copy.close()
    name = ENERGY_SERIES.changelog(2).name
    kept = {name, f"{name}.read-up-to", "api.lock", f"other-{ENERGY_SERIES.changelog(1).name}"}
    for each in kept:
        if not (tmp_path / each).exists():
            (tmp_path / each).touch()
    await copies.keep_only({2})
    assert set(os.listdir(tmp_path)) == kept


def test_a_version_of_totals_alone_has_no_copy(tmp_path: Path) -> None:
    assert Copies(tmp_path, 100_000_000).series_of(ViewVersion(1, "live", 1, "1")) is None
