"""What a replay decides without Kafka: which version is next, how far it is, when two meet."""

from __future__ import annotations

import asyncio
import io
import re
import socket
from pathlib import Path
from types import SimpleNamespace

import pytest

from contract.device_totals import DEVICE_TOTALS
from contract.energy_series import ENERGY_SERIES
from contract.hour_rows import BEFORE, HourKey, encode_key
from contract.view_versions import Views, ViewState, ViewVersion
from local_stack.parts import ModulePart, Part
from local_stack.previous_view_workers import KeptVersions
from local_stack.replay_progress import Speed, Watched, line
from local_stack.replay_workers import Replay, ReplayOptions
from local_stack.supervisor import Supervisor
from operations.changelog.part import ChangelogPart, meet
from operations.changelog.sorted_rows import side_by_side, sorted_rows
from operations.replay import comparison
from operations.replay.positions import ReplayPartition, status_between
from operations.replay.promotion import next_version, version_before
from stream_app.process.rate_limiter import Pace
from tests.series_rows import hour_row


def views_of(*states: ViewState, rules_id: str = "1") -> Views:
    """Versions 1, 2 ... in these states, the pointer on the live one."""
    versions = {n: ViewVersion(n, state, 2, rules_id) for n, state in enumerate(states, start=1)}
    return Views(states.index("live") + 1, versions)


def number(version: ViewVersion | None) -> int | None:
    return None if version is None else version.view_version


@pytest.mark.parametrize(
    ("states", "forward", "back"),
    [
        (("live",), None, None),
        (("live", "building"), 2, None),
        (("previous", "live"), None, 1),
        (("live", "previous"), 2, None),
        (("previous", "live", "building"), 3, 1),
        (("live", "previous", "building"), 3, None),
        (("dropped", "live", "dropped"), None, None),
    ],
)
def test_forward_is_what_is_built_and_back_is_what_was_before(
    states: tuple[ViewState, ...], forward: int | None, back: int | None
) -> None:
    views = views_of(*states)
    assert number(next_version(views)) == forward
    assert number(version_before(views)) == back


def test_a_number_is_never_used_again() -> None:
    assert views_of("live", "dropped").next_number() == 3


def test_rate_and_time_left_come_from_two_looks() -> None:
    before = [ReplayPartition(0, 0, 100, 1000), ReplayPartition(1, 50, 50, 50)]
    after = [ReplayPartition(0, 0, 300, 1000), ReplayPartition(1, 50, 50, 150)]
    found = status_between(2, before, after, 2.0)
    assert (found.rate, found.eta_seconds) == (100.0, 8.0)
    assert (found.done, found.total) == (300, 1100)
    assert status_between(2, before, before, 2.0).eta_seconds is None
    done = [ReplayPartition(0, 0, 1000, 1000)]
    assert status_between(2, done, done, 2.0).eta_seconds == 0.0


def test_the_line_says_how_far_how_fast_and_how_long() -> None:
    partitions = [ReplayPartition(0, 0, 500, 1000), ReplayPartition(1, 0, 1000, 1000)]
    assert line(2, partitions, 250.0) == (
        "view version 2: 1,500 of 2,000 readings (75 %), 250/s, 2 s left; partitions 0:50% 1:100%"
    )
    assert "not moving" in line(2, partitions, 0.0)
    assert "caught up" in line(2, partitions[1:], 0.0)


class Terminal(io.StringIO):
    """Says that a person looks at it."""

    def isatty(self) -> bool:
        return True


def test_on_a_terminal_there_is_a_bar_for_each_partition_and_one_for_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    with Watched(2, print) as watched:
        watched.show([ReplayPartition(0, 0, 500, 1000), ReplayPartition(1, 0, 1000, 1000)])
        watched.say("[replay-0] a line with brackets")
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.getvalue())
    assert "[replay-0] a line with brackets" in shown
    assert re.search(r"partition 0 .*50%.* 500/1000", shown)
    assert re.search(r"all .*75%.* 1500/2000", shown)


def test_elsewhere_there_is_a_line_now_and_then_and_news_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said: list[str] = []
    with Watched(2, said.append) as watched:
        for _ in range(3):
            watched.show([ReplayPartition(0, 0, 500, 1000)])
            watched.once("the gate is open")
    assert said == ["the gate is open"]
    assert capsys.readouterr().err.count("view version 2: 500 of 1,000 readings (50 %)") == 1


def test_the_speed_is_that_of_the_last_seconds() -> None:
    now = 0.0
    speed = Speed(lambda: now)
    speed.after(0)
    for now in (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0):
        rate = speed.after(1000 if now > 1 else 0)
    assert rate == 0.0, "what was fast long ago is not told for ever"


async def test_a_pace_lets_a_chunk_through_and_makes_the_next_pay() -> None:
    now, slept = 100.0, []

    async def sleep(seconds: float) -> None:
        nonlocal now
        slept.append(seconds)
        now += seconds

    pace = Pace(1_000, clock=lambda: now, sleep=sleep)
    await pace.take(5_000)
    assert slept == []
    await pace.take(1_000)
    await pace.take(1_000)
    assert slept == [5.0, 1.0]
    now += 60
    await pace.take(100)
    await pace.take(100)
    assert slept[2:] == [pytest.approx(0.1)], "an idle minute is not saved up"


async def test_without_a_pace_nothing_waits() -> None:
    await Pace(None).take(10**9)


class FakePart(ChangelogPart):
    """A changelog partition whose transactions are known."""

    def __init__(self, *applied: int) -> None:
        self.applied_offset = applied[0]
        self._left = list(applied[1:])

    def step(self, deadline: float) -> bool:
        if not self._left:
            return False
        self.applied_offset = self._left.pop(0)
        return True


def test_two_versions_meet_at_the_first_offset_both_stop_at() -> None:
    old, new = FakePart(10, 12, 17, 20, 30), FakePart(11, 15, 20, 30)
    assert meet(old, new, 0.0)
    assert (old.applied_offset, new.applied_offset) == (20, 20)


def test_versions_that_never_stop_at_one_offset_are_not_compared() -> None:
    assert not meet(FakePart(10, 12, 14), FakePart(11, 13), 0.0)


def test_versions_with_different_cutoffs_differ_in_their_sums_alone(tmp_path: Path) -> None:
    hours = dict([hour_row("a", 30, "Hall", 5, 7), hour_row("a", 31, "Hall", 1)])
    new = dict([hour_row("a", 60, "Hall", 2), hour_row("b", 61, "", 3)])
    before = {encode_key(HourKey("a", BEFORE, "Hall")): b"1 108000 111600 3 13"}
    less = {encode_key(HourKey("a", BEFORE, "Hall")): b"1 108000 111600 3 12"}
    with (
        sorted_rows(tmp_path) as kept,
        sorted_rows(tmp_path) as added,
        sorted_rows(tmp_path) as off,
    ):
        kept.update(hours | new)
        # Its sweep has not come to all of it.
        added.update(hours | new)
        added.update(before | dict.fromkeys(hours))
        off.update(less | new)
        as_of = [list(comparison._as_of(ENERGY_SERIES, rows, 48)) for rows in (kept, added, off)]
    assert as_of[0] == as_of[1] == sorted((before | new).items())
    found = [row for row in side_by_side(as_of[0], as_of[2]) if row[1] != row[2]]
    assert found == [(key, before[key], less[key]) for key in before]
    changed = {key: ([old], [now]) for key, old, now in found if old and now}
    told = comparison._summed(ENERGY_SERIES, changed, [])
    assert (told.rows, told.sum, told.readings) == (1, "-1", 0)
    assert told.examples[0].row == {"device_id": "a", "location": "Hall", "hour": "before"}


def test_differences_are_added_over_the_partitions() -> None:
    changed = {
        b"same": ([b"1 2 5"], [b"1 1 2", b"1 1 3"]),
        b"less": ([b"1 1 4", b"1 1 1"], [b"1 1 3"]),
        b"new": ([], [b"1 1 1"]),
        b"gone": ([b"1 1 7"], []),
    }
    found = comparison._summed(DEVICE_TOTALS, changed, [3])
    assert (found.view, found.rows, found.devices) == ("device_totals", 3, 3)
    assert (found.sum, found.readings) == ("-8", -1)
    assert [(each.row["device_id"], each.live, each.following) for each in found.examples] == [
        ("gone", "7", None),
        ("less", "5", "3"),
        ("new", None, "1"),
    ]
    assert found.not_compared == [3]


def test_a_row_of_the_series_is_named_by_device_location_and_hour() -> None:
    key = encode_key(HourKey("device_7", 485_098, "Living Room"))
    other = encode_key(HourKey("device_7", 485_099, "Living Room"))
    changed = {
        # The hour's sum is the same, its quarters are not.
        key: ([b"1 0 1000 1 5 1 2.5 0 0"], [b"1 0 1000 1 2.5 1 5 0 0"]),
        other: ([b"1 0 9 1 5 0 0 0"], [b"1 0 9 2 6.5 0 0 0"]),
    }
    found = comparison._summed(ENERGY_SERIES, changed, [])
    assert (found.rows, found.devices, found.sum, found.readings) == (2, 1, "1.5", 1)
    assert [each.row for each in found.examples] == [
        {"device_id": "device_7", "location": "Living Room", "hour": f"2025-05-04T{hour}:00Z"}
        for hour in (10, 11)
    ]
    assert [(each.live, each.following) for each in found.examples] == [
        ("1 0 1000 1 5 1 2.5 0 0", "1 0 1000 1 2.5 1 5 0 0"),
        ("5", "6.5"),
    ]


class FakeSupervisor(Supervisor):
    """Only notes what it is to keep."""

    def __init__(self) -> None:
        self.kept: list[Part] = []

    def keep(self, parts: object, *, may_finish: bool = False) -> None:
        assert may_finish
        self.kept += list(parts)  # type: ignore[call-overload]


def test_each_version_before_gets_one_worker_of_its_own(tmp_path: object) -> None:
    supervisor, lines = FakeSupervisor(), list[str]()
    kept = KeptVersions({"A": "b"}, tmp_path, supervisor, lines.append)  # type: ignore[arg-type]
    kept.turn_to(views_of("live"))
    assert supervisor.kept == []
    for _ in range(2):
        kept.turn_to(views_of("previous", "live"))
    [part] = supervisor.kept
    assert isinstance(part, ModulePart)
    assert part._environ["STREAM_APP_VIEW_VERSION"] == "1"
    assert re.search("kept-v1$", part._environ["STREAM_APP_DATADIR"])
    assert lines == []


def test_a_version_of_other_rules_is_left_alone_and_named(tmp_path: object) -> None:
    supervisor, lines = FakeSupervisor(), list[str]()
    kept = KeptVersions({}, tmp_path, supervisor, lines.append)  # type: ignore[arg-type]
    for _ in range(2):
        kept.turn_to(views_of("previous", "live", rules_id="0"))
    assert supervisor.kept == []
    assert len(lines) == 1
    assert "view version 1 follows rules 0" in lines[0]


def test_a_part_that_has_done_its_work_is_not_started_again() -> None:
    class Done:
        name = "replay-0"
        starts = 0

        async def start(self) -> None:
            self.starts += 1

        async def wait(self) -> int:
            return 0

        async def stop(self, seconds: float) -> None:
            """Nothing runs."""

    async def run() -> None:
        part, lines = Done(), list[str]()
        supervisor = Supervisor(lines.append)
        supervisor.keep([part], may_finish=True)
        await asyncio.gather(*supervisor._tasks)
        assert part.starts == 1
        assert lines == ["replay-0 has finished"]

    asyncio.run(run())


@pytest.mark.parametrize(
    ("member", "is_foreign"),
    [
        ("worker-7-{host}@10.0.0.3", False),
        ("worker-7-another-host@10.0.0.4", True),
        ("worker-7-{host}-2@10.0.0.4", True),
        ("worker-77-{host}@10.0.0.3", True),
        ("worker-8-{host}@10.0.0.3", True),
        ("worker-None-{host}@10.0.0.3", True),
    ],
)
def test_ops_k7_a_worker_elsewhere_with_the_process_id_of_ours_is_foreign(
    member: str, is_foreign: bool, tmp_path: Path
) -> None:
    """In containers process ids are 7, 8, 9 everywhere."""
    version = ViewVersion(2, "building", 1, "1")
    replay = Replay(ReplayOptions(workers=2), tmp_path, None, version, {}, print)  # type: ignore[arg-type]
    replay._workers[0]._process = SimpleNamespace(pid=7)  # type: ignore[assignment]
    assert replay._is_foreign(member.format(host=socket.gethostname())) is is_foreign
