"""The hub of streams, tick by tick: what each reader is told, and what it is spared."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from api.auth.bounds import Bounds
from api.auth.token_store import Token, TokenStore
from api.errors import Busy, ClientGone, Forbidden, ViewNotRunning
from api.metrics import Metrics
from api.query.streams import hub as module
from api.query.streams import turns
from api.query.streams.feed import FEWEST, FIRST, MOST
from api.query.streams.hub import TOKEN_TICKS, Hub
from api.query.streams.parameters import Watched
from api.query.streams.turns import PROGRESS_TICKS, ROUND_TICKS
from api.query.streams.watches import Devices, First, Fleet, Top, Watch
from api.view.changed_keys import SMALL
from api.view.end_offsets import LagWatch
from api.view.followed_view import ViewState
from api.view.totals_view import TotalsView
from contract.decimals import Number
from tests.api_doubles import HandmadeLive, caller_for, changelog_chunk, filled_view, transaction
from tests.streams import Reader, settle
from tests.totals_double import FedView

STREAM = "/v0/pipes/energy_consumption_by_device/stream"


class Stage:
    """A hub whose ticks come when a test says so, over a view that it writes to."""

    def __init__(self, tmp_path: Path, view: FedView, streams: int = 100) -> None:
        self.tokens = TokenStore(tmp_path / "tokens.json")
        self.live = HandmadeLive(view)
        self.lag = LagWatch({})
        self.metrics = Metrics()
        self.is_stopping = False
        self.offset = 9
        self.hub = Hub(
            self.live,
            self.lag,
            self.tokens,
            self.metrics,
            streams,
            should_stop=lambda: self.is_stopping,
        )
        self.token = self.new_token("test")

    @property
    def view(self) -> FedView:
        assert self.live.placed is not None
        return self.live.placed

    def new_token(self, name: str) -> Token:
        token = self.tokens.find(self.tokens.create(name, ["ADMIN"]))
        assert token is not None
        return token

    async def write(self, partition: int = 0, **totals: Number) -> None:
        await self.write_all(totals, partition)

    async def write_all(self, totals: dict[str, Number], partition: int = 0) -> None:
        self.offset += 1
        made = transaction({key: (total, 1) for key, total in totals.items()}, self.offset)
        await self.view.apply(changelog_chunk(made, partition=partition))

    async def tick(self, count: int = 1) -> None:
        """So many rounds, with the ticks between them."""
        await self.ticks(count * ROUND_TICKS)

    async def ticks(self, count: int) -> None:
        for _ in range(count):
            await self.hub.tick()
            await settle()

    async def open(self, watch: Watch, last: str | None = None, **more: Any) -> Reader:
        return await Reader.open(self.hub, self.token, watch, last, **more)

    def counted(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


@pytest.fixture
async def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    monkeypatch.setattr(module, "TICK_SECONDS", 3_600.0)
    # Progress comes with the 39th tick, the 79th, ...; in rounds with the 35th, the 75th, ...
    monkeypatch.setattr(turns.random, "randrange", lambda ticks: ticks - 1)
    stage = Stage(tmp_path, await filled_view({"a": (1, 1), "b": (2, 1)}, {"c": (3, 1)}))
    yield stage
    for feed in [*stage.hub._feeds]:
        feed.close()


def devices(*names: str) -> Devices:
    return Devices([name.encode() for name in names])


def told(events: list[Any]) -> list[tuple[str, list[str]]]:
    """Name and `device=total` of each row, of each event."""
    return [
        (
            event.name,
            [f"{row['device_id']}={row['total_energy_consumed']}" for row in event.data["rows"]],
        )
        for event in events
    ]


async def test_a_stream_begins_with_a_snapshot_and_goes_on_with_changes(stage: Stage) -> None:
    reader = await stage.open(devices("b", "a", "unknown"))
    [snapshot] = reader.new()
    assert snapshot.id == "1/0:9,1:9"
    assert snapshot.data == {
        "rows": [
            {
                "device_id": name,
                "total_energy_consumed": total,
                "total_energy_consumed_exact": str(total),
                "readings": 1,
            }
            for name, total in (("a", 1), ("b", 2))
        ],
        "more": False,
    }
    await stage.write(a=5, c=7)
    await stage.tick()
    [change] = reader.new()
    assert (told([change]), change.id) == ([("change", ["a=5"])], "1/0:10,1:9")
    await stage.tick()
    assert reader.new() == []
    await stage.write(unknown=1)
    await stage.tick()
    assert told(reader.new()) == [("change", ["unknown=1"])]


async def test_parts_of_several_partitions_are_added(stage: Stage) -> None:
    reader = await stage.open(devices("a"))
    await stage.write(partition=1, a=10)
    await stage.tick()
    assert told(reader.new())[1:] == [("change", ["a=11"])]


async def test_many_changes_between_ticks_are_one_event_with_the_newest(stage: Stage) -> None:
    reader = await stage.open(devices("a", "b"))
    reader.new()
    for total in range(100):
        await stage.write(a=total, b=-total)
    await stage.tick()
    assert told(reader.new()) == [("change", ["a=99", "b=-99"])]


async def test_some_devices_are_told_at_once_but_not_again_before_a_round_is_over(
    stage: Stage,
) -> None:
    reader = await stage.open(devices("a"))
    await stage.tick()
    reader.new()
    await stage.write(a=5)
    await stage.ticks(1)
    assert told(reader.new()) == [("change", ["a=5"])]
    await stage.write(a=6)
    await stage.ticks(ROUND_TICKS - 1)
    assert reader.new() == []
    await stage.ticks(1)
    assert told(reader.new()) == [("change", ["a=6"])]


async def test_all_who_watch_the_fleet_are_told_at_the_same_time(stage: Stage) -> None:
    readers = []
    for _ in range(2 * ROUND_TICKS):
        readers.append(await stage.open(Fleet()))
        await stage.ticks(1)
    for reader in readers:
        reader.new()
    await stage.write(a=5)
    await stage.ticks(ROUND_TICKS - 1)
    assert [reader.new() for reader in readers] == [[]] * len(readers)
    await stage.ticks(1)
    assert [told(reader.new()) for reader in readers] == [[("change", ["a=5"])]] * len(readers)


@pytest.mark.parametrize("kind", ["devices", "fleet", "top"])
async def test_a_slow_reader_gets_fewer_newer_changes(stage: Stage, kind: str) -> None:
    watches: dict[str, Watch] = {
        "devices": devices("a"),
        "fleet": Fleet(),
        "top": Top(First(1, descending=False)),
    }
    reader = await stage.open(watches[kind], is_slow=True)
    for total in range(50, 0, -1):
        await stage.write(a=-total)
        await stage.tick()
    assert reader.names() == ["snapshot"]
    await reader.go_on()
    await stage.tick()
    assert told(reader.new())[1:] == [("change", ["a=-1"])]
    if kind != "top":
        assert stage.counted("api_stream_changes_coalesced_total") == 49


async def test_a_slow_reader_misses_nothing_that_quick_ones_have(stage: Stage) -> None:
    quick, slow = await stage.open(Fleet()), await stage.open(Fleet(), is_slow=True)
    for n in range(30):
        await stage.write_all({f"d{n}": n})
        await stage.tick()
    await slow.go_on()
    await stage.tick()
    assert slow.table.rows == quick.table.rows
    assert len(slow.table.rows) == 33


async def test_progress_comes_to_each_within_a_second_of_ticks(stage: Stage) -> None:
    readers = [await stage.open(devices("a")) for _ in range(20)]
    for reader in readers:
        reader.events.clear()
    await stage.write(c=9)
    stage.lag.saw({0: 15, 1: 10})
    await stage.ticks(PROGRESS_TICKS)
    for reader in readers:
        [progress] = reader.events
        assert progress.name == "progress"
        assert progress.id == "1/0:10,1:9"
        assert progress.data == {
            "applied_offsets": {"0": 10, "1": 9},
            "lag_records": 4,
            "freshness_seconds": None,
        }


async def test_progress_names_no_offset_whose_rows_are_not_sent(stage: Stage) -> None:
    await stage.write_all({f"d{n}": n for n in range(3 * FEWEST)})
    reader = await stage.open(Fleet())
    reader.feed._most = FEWEST
    before = reader.table.last_id
    await stage.write_all({f"d{n}": n + 1 for n in range(3 * FEWEST)})
    await stage.tick()
    assert reader.events[-1].id is None
    reader.feed.owes_progress = True
    reader.feed._most = FEWEST
    await stage.tick()
    change, progress = reader.events[-2:]
    assert (change.name, change.id, progress.name, progress.id) == (
        "change",
        None,
        "progress",
        before,
    )
    await stage.tick()
    assert reader.table.last_id == "1/0:11,1:9"


async def test_who_has_the_newest_event_gets_no_snapshot(stage: Stage) -> None:
    for watch in (devices("a"), Fleet(), Top(First(2, descending=True))):
        reader = await stage.open(watch, "1/0:9,1:9")
        assert reader.new() == []
        await reader.leave()


async def test_who_has_an_older_event_or_another_version_gets_a_snapshot(stage: Stage) -> None:
    await stage.write(a=4)
    for last in ("1/0:9,1:9", "2/0:10,1:9", "", "x"):
        reader = await stage.open(devices("a"), last)
        assert told(reader.new()) == [("snapshot", ["a=4"])]


async def test_what_changes_after_a_resumption_is_told(stage: Stage) -> None:
    keeper = await stage.open(Fleet())
    await stage.write(a=4)
    # Noted but not told yet: the one that resumes has it, the keeper has not.
    resumed = await stage.open(Fleet(), "1/0:10,1:9")
    top = await stage.open(Top(First(1, descending=True)), "1/0:10,1:9")
    await stage.write(b=8)
    await stage.tick()
    assert keeper.table.rows == {"a": "4", "b": "8", "c": "3"}
    assert resumed.table.rows["b"] == "8"
    assert told(top.new()) == [("change", ["b=8"])]
    assert top.parser.retries, "it was greeted"


async def test_who_resumes_at_a_moment_that_is_over_gets_a_snapshot(stage: Stage) -> None:
    # The copy shows a commit that nobody was told of yet.
    made = transaction({"a": (9_999, 2)}, 10)
    await TotalsView.apply(stage.view, changelog_chunk(made))
    await stage.view.copy.write({}, stage.view._commits)
    assert stage.view.applied_offsets() == [9, 9]
    reader = await stage.open(Top(First(1, descending=True)), "1/0:9,1:9")
    assert told(reader.new()) == [("snapshot", ["a=9999"])]


async def test_another_version_is_a_snapshot_of_it_for_all(stage: Stage) -> None:
    readers = [
        await stage.open(watch, is_slow=is_slow)
        for watch, is_slow in (
            (devices("a"), False),
            (Fleet(), False),
            (Top(First(1, descending=True)), False),
            (devices("a"), True),
        )
    ]
    for reader in readers:
        reader.new()
    await stage.write(a=9)
    other = await filled_view({"a": (100, 5), "d": (1, 1)})
    other.view_version = 2
    former, stage.live.placed = stage.view, other
    await stage.tick()
    await readers[3].go_on()
    await stage.tick()
    assert [told(reader.new()) for reader in readers] == [
        [("snapshot", ["a=100"])],
        [("snapshot", ["a=100", "d=1"])],
        [("snapshot", ["a=100"])],
        [("snapshot", ["a=100"])],
    ]
    assert {reader.table.last_id for reader in readers} == {"2/0:9"}
    assert former.changed is None, "nobody follows it any more"
    await stage.write(a=101)
    await stage.tick()
    assert told(readers[0].new()) == [("change", ["a=101"])]


async def test_who_has_a_part_of_a_snapshot_comes_again_for_one_of_another_version(
    stage: Stage,
) -> None:
    await stage.write_all({f"d{n:05}": n for n in range(2 * FIRST)})
    reader = await stage.open(Fleet(), is_slow=True)
    assert reader.new()[0].data["more"] is True
    stage.live.placed = await filled_view({"a": (100, 5)})
    await stage.tick()
    await reader.go_on()
    assert reader.task.done()
    assert reader.new() == []


async def test_a_view_that_does_not_run_is_not_told_of(stage: Stage) -> None:
    reader = await stage.open(devices("a"))
    reader.new()
    stage.view.become(ViewState.CATCHING_UP)
    await stage.tick()
    await stage.write(a=6)
    await stage.ticks(PROGRESS_TICKS)
    assert reader.names() == ["progress"]
    assert reader.events[0].id == "1/0:9,1:9"
    with pytest.raises(ViewNotRunning):
        await stage.open(devices("a"))
    stage.view.become(ViewState.RUNNING)
    await stage.tick()
    assert told(reader.new()) == [("snapshot", ["a=6"])]


async def test_a_large_snapshot_comes_in_parts_of_which_the_last_has_the_id(stage: Stage) -> None:
    await stage.write_all({f"d{n:05}": n for n in range(3 * MOST)})
    reader = await stage.open(Fleet())
    for _ in range(100):
        await settle()
    events = reader.new()
    assert len(events) > 3
    assert [event.data["more"] for event in events] == [True] * (len(events) - 1) + [False]
    assert [event.id for event in events] == [None] * (len(events) - 1) + ["1/0:10,1:9"]
    assert len(events[0].data["rows"]) == FIRST
    assert max(len(event.data["rows"]) for event in events) <= MOST
    assert len(reader.table.rows) == 3 * MOST + 3


async def test_what_changes_during_a_snapshot_is_told_after_it(stage: Stage) -> None:
    await stage.write_all({f"d{n:05}": n for n in range(2 * MOST)})
    reader = await stage.open(Fleet(), is_slow=True)
    assert reader.names() == ["snapshot"]
    await stage.write(d00000=-1, d03999=-2, e=-3)
    await stage.tick()
    for _ in range(100):
        await reader.go_on()
    await stage.tick()
    rows = reader.table.rows
    assert (rows["d00000"], rows["d03999"], rows["e"], len(rows)) == ("-1", "-2", "-3", 4_004)


async def test_an_event_has_fewer_rows_for_a_slow_reader_and_more_for_a_quick_one(
    stage: Stage,
) -> None:
    await stage.write_all({f"d{n:05}": n for n in range(10 * MOST)})
    slow, quick = await stage.open(Fleet(), is_slow=True), await stage.open(Fleet())
    for _ in range(8):
        await slow.go_on()
    counts = [len(event.data["rows"]) for event in slow.new()]
    assert counts[0] == FIRST
    assert counts[-1] == FEWEST
    for _ in range(100):
        await settle()
    assert max(len(event.data["rows"]) for event in quick.new()) == MOST


async def test_who_keeps_up_with_all_devices_shares_the_bytes(stage: Stage) -> None:
    feeds = [await stage.hub.open(stage.token, Fleet(), None) for _ in range(2)]
    for feed in feeds:
        assert b"event: snapshot" in await feed.next()
    await stage.write(a=4)
    readers = [module.asyncio.create_task(feed.next()) for feed in feeds]
    await settle()
    await stage.tick()
    first, second = [await reader for reader in readers]
    assert first.startswith(b"event: change")
    assert first is second


async def test_the_first_say_who_came_changed_and_left(stage: Stage) -> None:
    reader = await stage.open(Top(First(2, descending=True)))
    assert told(reader.new()) == [("snapshot", ["c=3", "b=2"])]
    await stage.write(a=10)
    await stage.tick()
    [change] = reader.new()
    assert (told([change]), change.data["left"]) == ([("change", ["a=10"])], ["b"])
    # Falls out: without a word of it, its reader would go on showing 10.
    await stage.write(a=-10)
    await stage.tick()
    [change] = reader.new()
    assert (told([change]), change.data["left"]) == ([("change", ["b=2"])], ["a"])
    await stage.write(a=-11)
    await stage.tick()
    assert reader.new() == []
    assert reader.table.rows == {"b": "2", "c": "3"}


async def test_the_first_of_some_devices_are_of_those(stage: Stage) -> None:
    reader = await stage.open(Top(First(1, descending=True, among=(b"a", b"b", b"x"))))
    await stage.write(c=50, x=40)
    await stage.tick()
    assert told(reader.new()) == [("snapshot", ["b=2"]), ("change", ["x=40"])]
    assert reader.table.rows == {"x": "40"}


async def test_a_transaction_of_many_devices_is_told_too(stage: Stage) -> None:
    readers = [await stage.open(devices("d7", "zz")), await stage.open(Fleet())]
    totals: dict[str, Number] = {f"d{n}": n for n in range(SMALL + 10)}
    await stage.write_all(totals)
    await stage.tick(2 + SMALL // FIRST)
    assert readers[0].table.rows == {"d7": "7"}
    assert len(readers[1].table.rows) == SMALL + 13
    assert readers[1].table.last_id == "1/0:10,1:9"


async def test_every_reader_ends_with_the_last_values_whatever_came_when(stage: Stage) -> None:
    """Random writes, ticks, slow takes, reconnections and switches; then silence."""
    chance = random.Random(7)
    names = [f"d{n}" for n in range(400)]
    await stage.write_all(dict.fromkeys(names, 0))
    kinds = [
        lambda: devices(*chance.sample(names, 10)),
        Fleet,
        lambda: Top(First(5, descending=True)),
        lambda: Top(First(400, descending=False)),
    ]
    readers = [await stage.open(kinds[n % 4](), is_slow=n % 3 == 0) for n in range(16)]
    for step in range(400):
        some = chance.sample(names, chance.choice((1, 5, 100)))
        await stage.write_all({name: chance.randrange(-50, 50) for name in some})
        if chance.random() < 0.5:
            await stage.ticks(chance.randrange(2 * ROUND_TICKS))
        slow = readers[chance.randrange(16)]
        await slow.go_on()
        ended = [place for place, reader in enumerate(readers) if reader.task.done()]
        if step % 40 == 20:
            ended.append(chance.randrange(16))
        for place in ended:
            old = readers[place]
            await old.leave()
            # The table goes on, as in a browser.
            readers[place] = new = await stage.open(old.feed.watch, old.table.last_id)
            if "snapshot" not in new.names():
                new.table.rows |= {**old.table.rows, **new.table.rows}
        if step == 200:
            totals = {name: (chance.randrange(100), 1) for name in names}
            stage.live.placed = await filled_view(totals, {})
            stage.live.placed.view_version = 2
            stage.offset = 9
    for _ in range(60):
        for reader in readers:
            await reader.go_on()
        await stage.tick()
    view = stage.view
    whole = {name: view.total(name)[0].total_energy_consumed_exact for name in names}  # type: ignore[union-attr]
    ranked = sorted(names, key=lambda name: (int(whole[name]), name))
    falling = sorted(names, key=lambda name: (-int(whole[name]), name))
    for reader in readers:
        watch = reader.feed.watch
        if isinstance(watch, Devices):
            expected = [key.decode() for key in watch.keys]
        elif isinstance(watch, Top):
            expected = (falling if watch.asked.descending else ranked)[: watch.asked.most]
        else:
            expected = names
        assert reader.table.rows == {name: whole[name] for name in expected}, type(watch)


async def test_h_a_revoked_tokens_streams_end_and_the_others_go_on(stage: Stage) -> None:
    other = stage.new_token("other")
    reader = await stage.open(devices("a"))
    slow = await stage.open(devices("a"), is_slow=True)
    stays = await Reader.open(stage.hub, other, devices("a"))
    aborted: list[bool] = []
    slow.feed.opened(cast(Any, SimpleNamespace(abort=lambda: aborted.append(True))))
    stage.tokens.revoke("test")
    await stage.ticks(TOKEN_TICKS)
    assert reader.task.done()
    assert not stays.task.done()
    assert not aborted
    # It does not read, so it cannot be told; in 2 * 2 s.
    await stage.ticks(TOKEN_TICKS)
    assert aborted == [True]


async def test_at_a_stop_all_end_with_a_time_to_come_again(stage: Stage) -> None:
    readers = [await stage.open(watch) for watch in (devices("a"), Fleet())]
    stage.is_stopping = True
    await stage.tick()
    for reader in readers:
        assert reader.task.done()
        assert len(reader.parser.retries) == 2
    assert stage.hub._ticking is None


async def test_without_streams_nothing_runs_and_nothing_is_kept(stage: Stage) -> None:
    readers = [await stage.open(watch) for watch in (devices("a"), Fleet(), Fleet())]
    assert stage.counted("api_streams") == 3
    await stage.write(a=2)
    await stage.tick()
    for reader in readers:
        await reader.leave()
    hub = stage.hub
    assert (hub._ticking, hub.view, stage.view.changed) == (None, None, None)
    assert (hub._feeds, hub._readers, hub._watchers, hub.due) == (set(), set(), {}, set())
    assert len(hub.log) == 0
    assert stage.counted("api_streams") == 0
    assert stage.counted("api_stream_events_total", event="snapshot") == 3
    assert stage.counted("api_stream_events_total", event="change") == 3
    reader = await stage.open(devices("a"))
    assert told(reader.new()) == [("snapshot", ["a=2"])]


async def test_one_token_leaves_room_for_others(tmp_path: Path, stage: Stage) -> None:
    stage.hub._budget.most, stage.hub._budget.total = 2, 3
    other = stage.new_token("other")
    readers = [await stage.open(devices("a")) for _ in range(2)]
    with pytest.raises(Busy, match="streams"):
        await stage.open(devices("a"))
    await Reader.open(stage.hub, other, devices("a"))
    with pytest.raises(Busy, match="streams"):
        await Reader.open(stage.hub, other, devices("a"))
    await readers[0].leave()
    await stage.open(devices("a"))


@pytest.mark.parametrize("most", [1, 2, 3, 7, 1_000])
def test_a_token_may_have_as_many_as_the_setting_says(tmp_path: Path, most: int) -> None:
    budget = Stage(tmp_path, FedView(1, 1), most).hub._budget
    assert budget.most == most < budget.total <= most + max(1, most // 2)


async def test_a_failure_of_a_tick_ends_all_and_is_logged(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails() -> None:
        raise RuntimeError("nobody foresaw it")

    monkeypatch.setattr(module, "TICK_SECONDS", 0.001)
    monkeypatch.setattr(stage.hub, "_take", fails)
    reader = await stage.open(devices("a"))
    await reader.task
    assert "unexpected failure" in caplog.text


@pytest.mark.parametrize(
    ("query", "fault"),
    [
        ("?limit=3", "limit"),
        ("?order_by=total_energy_consumed", "limit"),
        ("?order_by=-total_energy_consumed&limit=0", "limit"),
        ("?order_by=-total_energy_consumed&limit=1001", "limit"),
        ("?order_by=-device_id", "order_by"),
        ("?device_id=", "device_id"),
        ("?order_by=device_id&order_by=device_id", "order_by"),
    ],
)
async def test_h_what_cannot_be_watched_is_400_and_named(
    tmp_path: Path, query: str, fault: str
) -> None:
    caller = caller_for(tmp_path, await filled_view({"a": (1, 1)}))
    for method in ("GET", "HEAD"):
        answer = await caller.request(method, STREAM + query)
        assert answer.status == 400
    assert f"parameter {fault}" in (await caller.get(STREAM + query)).error


async def test_what_is_asked_for_is_what_is_watched() -> None:
    assert isinstance(Watched().watch(None), Fleet)
    some = Watched.read({"device_id": ["b,a"]}).watch(None)
    assert isinstance(some, Devices)
    assert some.keys == (b"a", b"b", b"b,a")
    top = Watched.read({"order_by": ["total_energy_consumed"], "limit": ["7"]}).watch(None)
    assert isinstance(top, Top)
    assert top.asked == First(7, descending=False)


async def test_a_bound_token_watches_its_own_devices_only() -> None:
    bounds = Bounds(devices=frozenset({"a", "b"}))
    own = Watched().watch(bounds)
    assert isinstance(own, Devices)
    assert own.keys == (b"a", b"b")
    some = Watched.read({"device_id": ["b", "c"]}).watch(bounds)
    assert isinstance(some, Devices)
    assert some.keys == (b"b",)
    top = Watched.read({"order_by": ["-total_energy_consumed"], "limit": ["1"]}).watch(bounds)
    assert isinstance(top, Top)
    assert top.asked.among == (b"a", b"b")
    with pytest.raises(Forbidden, match="places"):
        Watched().watch(Bounds(locations=frozenset({"Hall"})))


async def test_head_and_other_methods_open_no_stream(tmp_path: Path) -> None:
    caller = caller_for(tmp_path, await filled_view({"a": (1, 1)}))
    answer = await caller.request("HEAD", STREAM)
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-accel-buffering"] == "no"
    assert answer.headers["x-view-version"] == "1"
    answer = await caller.request("POST", STREAM)
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
    assert not caller.services.streams._feeds


async def test_while_the_view_loads_it_is_503(tmp_path: Path) -> None:
    answer = await caller_for(tmp_path, None).get(STREAM)
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")


async def test_who_goes_away_is_let_go_of(tmp_path: Path) -> None:
    caller = caller_for(tmp_path, await filled_view({"a": (1, 1)}))

    async def gone() -> None:
        if caller.services.streams._feeds:
            raise ClientGone

    await caller.request("GET", STREAM, before_send=gone)
    assert not caller.services.streams._feeds
