"""When the follower trusts what it read: ends, staleness, and logs that are not the same."""

import asyncio
from functools import partial

import pytest

from api.view.changelog_follower import STALE_SECONDS, Follower
from api.view.followed_view import ViewState, ViewUnusable
from api.view.resuming import ChangelogReplaced, PartitionsChanged
from api.view.totals_view import TotalsView
from contract.changelog import BIRTH_KEY, MARKER_KEY, Birth, Marker, encode_birth, encode_marker
from contract.device_totals import DEVICE_TOTALS
from contract.view_versions import ViewVersion
from kafka_io.batches.chunk import RecordChunk
from tests.api_doubles import changelog_chunk, transaction
from tests.reader_double import ReaderDouble
from tests.totals_double import copies_in_memory
from tests.waiting import until

LAG = "min.compaction.lag.ms"
BIRTH = Birth("cluster", "energy_consumption", "source-id", "changelog-id", 0, "1")


class ScriptedReader(ReaderDouble):
    """The test says what comes, and where the log ends."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 1
        self.coming: asyncio.Queue[list[RecordChunk]] = asyncio.Queue()

    async def partitions(self) -> list[int]:
        return list(range(self.count))

    async def chunks(self, timeout_seconds: float) -> list[RecordChunk]:
        try:
            async with asyncio.timeout(0.01):
                chunks = await self.coming.get()
        except TimeoutError:
            return []
        self.at[0] = max((chunk.next_offset for chunk in chunks), default=self.at[0])
        return chunks

    def bring(self, turn: int, start: int) -> None:
        """Let a transaction of two records come."""
        chunk = changelog_chunk(transaction({"a": (turn, turn)}, turn), start=start)
        self.end = max(self.end, chunk.next_offset)
        self.coming.put_nowait([chunk])


class Setting:
    """A follower of a scripted reader, at a time a test decides about."""

    def __init__(self) -> None:
        self.now = 0.0
        self.reader = ScriptedReader()
        version = ViewVersion(1, "live", 1, "1")
        self.copies = copies_in_memory()
        new_view = partial(TotalsView, copy=self.copies.totals_of(version))
        self.configs = {LAG: "300000"}
        self.follower = Follower(
            new_view, {}, version, clock=lambda: self.now, configs=self.read_configs
        )
        self.follower.view.partitions[0].birth = BIRTH  # as if read before

    async def read_configs(self, *_: object) -> dict[str, str]:
        return self.configs

    def follow(self) -> asyncio.Task[None]:
        return asyncio.create_task(self.follower._follow(self.reader))  # type: ignore[arg-type]

    async def running(self) -> asyncio.Task[None]:
        """Follow until the first transaction is shown."""
        self.reader.bring(1, 0)
        task = self.follow()
        await self.until(ViewState.RUNNING)
        return task

    async def until(self, state: ViewState) -> None:
        await self.follower.view.until(state)


@pytest.fixture
def setting(monkeypatch: pytest.MonkeyPatch) -> Setting:
    monkeypatch.setattr("api.view.changelog_follower.CHECK_SECONDS", 0.01)
    return Setting()


def test_whoever_was_at_the_end_lately_has_missed_nothing() -> None:
    lag_ms = int(DEVICE_TOTALS.changelog(1).configs[LAG])
    assert lag_ms == STALE_SECONDS * 2_000


async def test_what_a_changelog_shows_that_is_compacted_too_early_is_not_served(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.view.changelog_follower.CONFIG_CHECKS", 1)
    monkeypatch.setattr("api.view.compaction_lag.CERTAIN_SECONDS", 0)
    setting.configs = {LAG: "0"}
    with pytest.raises(ViewUnusable, match=f"{LAG} is 0"):
        await setting.follow()
    assert setting.follower.view.state is ViewState.INITIALIZING
    setting.configs = {LAG: "300000"}
    task = await setting.running()
    setting.configs = {LAG: "0"}
    with pytest.raises(ViewUnusable, match=f"{LAG} is 0"):
        await task


async def test_the_view_runs_once_it_is_at_the_end_seen_at_the_start(setting: Setting) -> None:
    setting.reader.end = 4
    task = setting.follow()
    await setting.until(ViewState.CATCHING_UP)
    setting.reader.bring(1, 0)
    await asyncio.sleep(0.05)
    assert setting.follower.view.state is ViewState.CATCHING_UP
    setting.reader.bring(2, 2)
    await setting.until(ViewState.RUNNING)
    assert setting.follower.view.applied_offsets() == [2]
    task.cancel()


async def test_the_end_is_reached_by_position_over_a_marker_nobody_is_given(
    setting: Setting,
) -> None:
    setting.reader.end = 3
    task = setting.follow()
    chunk = RecordChunk("changelog", 0, 0, 3, changelog_chunk(transaction({}, 1))._batches)
    setting.reader.coming.put_nowait([chunk])
    await setting.until(ViewState.RUNNING)
    task.cancel()


async def test_a_view_that_was_away_too_long_catches_up_unseen(setting: Setting) -> None:
    task = await setting.running()
    view = setting.follower.view
    seen = []

    def watch(state: ViewState, problem: str | None = None) -> None:
        seen.append((state, view.applied_offsets()))
        type(view).become(view, state, problem)

    view.become = watch  # type: ignore[method-assign]
    # What comes next was written while nobody looked; the end is further on.
    setting.reader.end = 6
    await asyncio.sleep(0.05)
    setting.now += STALE_SECONDS + 1
    setting.reader.bring(2, 2)
    setting.reader.bring(3, 4)
    await view.reached({0: 3})
    await setting.until(ViewState.RUNNING)
    assert seen == [(ViewState.CATCHING_UP, [1]), (ViewState.RUNNING, [3])]
    task.cancel()


async def test_c11_a_load_that_took_long_is_followed_by_another_up_to_newer_ends(
    setting: Setting,
) -> None:
    setting.reader.end = 4
    task = setting.follow()
    await setting.until(ViewState.CATCHING_UP)
    setting.reader.bring(1, 0)
    # Below the end seen at the start, records may be gone by now for newer ones behind it.
    setting.now += STALE_SECONDS + 1
    setting.reader.end = 8
    setting.reader.bring(2, 2)
    await setting.follower.view.reached({0: 2})
    await asyncio.sleep(0.05)
    assert setting.follower.view.state is ViewState.CATCHING_UP
    setting.reader.bring(3, 4)
    # A leg that took long itself is not the last one.
    setting.now += STALE_SECONDS + 1
    setting.reader.end = 10
    setting.reader.bring(4, 6)
    await asyncio.sleep(0.05)
    assert setting.follower.view.state is ViewState.CATCHING_UP
    setting.reader.bring(5, 8)
    await setting.until(ViewState.RUNNING)
    assert setting.follower.view.applied_offsets() == [5]
    task.cancel()


async def test_an_idle_log_never_makes_a_view_stale(setting: Setting) -> None:
    task = await setting.running()
    for _ in range(3):
        setting.now += STALE_SECONDS - 1
        await asyncio.sleep(0.05)
    setting.reader.bring(2, 2)
    await asyncio.sleep(0.05)
    assert setting.follower.view.state is ViewState.RUNNING
    assert setting.follower.view.applied_offsets() == [2]
    task.cancel()


async def test_a_log_that_ends_before_what_was_read_is_another_log(setting: Setting) -> None:
    task = await setting.running()
    setting.reader.end = 1
    with pytest.raises(ChangelogReplaced):
        await task


async def test_a_chunk_that_does_not_follow_the_last_one_is_refused(setting: Setting) -> None:
    task = await setting.running()
    setting.reader.bring(2, 5)
    with pytest.raises(ChangelogReplaced, match="missing"):
        await task


async def test_more_partitions_are_noticed(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.view.changelog_follower.TOPIC_CHECKS", 1)
    task = setting.follow()
    await setting.until(ViewState.RUNNING)
    setting.reader.count = 2
    with pytest.raises(PartitionsChanged):
        await task


async def test_a_second_connection_goes_on_where_the_first_one_was(setting: Setting) -> None:
    first = await setting.running()
    first.cancel()
    await asyncio.wait([first])
    setting.reader.bring(2, 2)
    second = setting.follow()
    assert await setting.follower.view.reached({0: 2})
    assert setting.follower.view.state is ViewState.RUNNING
    second.cancel()


async def test_a_position_that_is_gone_is_another_log(setting: Setting) -> None:
    first = await setting.running()
    first.cancel()
    await asyncio.wait([first])
    setting.reader.first = setting.reader.end = 50
    with pytest.raises(ChangelogReplaced):
        await setting.follow()


async def test_half_a_transaction_at_the_end_is_not_shown(setting: Setting) -> None:
    records = transaction({"a": (1, 1)}, 1) + transaction({"a": (2, 2), "b": (2, 2)}, 2)[:2]
    setting.reader.coming.put_nowait([changelog_chunk(records)])
    setting.reader.end = len(records)
    task = setting.follow()
    await setting.until(ViewState.RUNNING)
    view = setting.follower.view
    assert view.total("a")[0].readings == 1  # type: ignore[union-attr]
    assert view.total("b")[0] is None
    rest = [(MARKER_KEY, encode_marker(Marker(2)))]
    setting.reader.coming.put_nowait([changelog_chunk(rest, start=len(records))])
    setting.reader.end += 1
    await view.reached({0: 2})
    assert view.devices == 2
    task.cancel()


async def test_x17_totals_without_the_birth_before_them_are_not_shown(setting: Setting) -> None:
    setting.follower.view.partitions[0].birth = None
    setting.reader.bring(1, 0)
    task = setting.follow()
    await until(lambda: setting.follower.view.problem)
    assert setting.follower.view.state is ViewState.CATCHING_UP
    assert "no birth record in partition 0" in setting.follower.view.problem
    birth = changelog_chunk([(BIRTH_KEY, encode_birth(BIRTH))], start=2)
    setting.reader.end = birth.next_offset
    setting.reader.coming.put_nowait([birth])
    await setting.until(ViewState.RUNNING)
    assert setting.follower.view.problem is None
    task.cancel()


async def test_another_process_continues_where_the_copy_ends_and_reads_the_tail_alone(
    setting: Setting,
) -> None:
    records = [(BIRTH_KEY, encode_birth(BIRTH)), *transaction({"a": (5, 2)}, 1)]
    setting.reader.coming.put_nowait([changelog_chunk(records)])
    setting.reader.end = 3
    task = setting.follow()
    await setting.until(ViewState.RUNNING)
    task.cancel()
    await asyncio.wait([task])
    await setting.follower.view.copy.close()

    async def births(*_: object) -> dict[int, Birth]:
        return {0: BIRTH}

    version, reader = ViewVersion(1, "live", 1, "1"), ScriptedReader()
    copy = setting.copies.totals_of(version)
    new_view = partial(TotalsView, copy=copy)
    follower = Follower(new_view, {}, version, births=births, configs=setting.read_configs)
    reader.end = 3
    task = asyncio.create_task(follower._follow(reader))  # type: ignore[arg-type]
    await follower.view.until(ViewState.RUNNING)
    assert reader.at[0] == 3, "nothing was read again"
    assert follower.view.applied_offsets() == [1]
    reader.bring(2, 3)
    assert await follower.view.reached({0: 2})
    total = follower.view.total("a")[0]
    assert total.readings == 2
    task.cancel()
    await asyncio.wait([task])
    await copy.close()
