"""Lag in seconds: of records that wait, not of control records; it grows while nothing moves."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka.errors import TopicAuthorizationFailedError

from kafka_io.batches.chunk import RecordChunk
from kafka_io.lag_seconds import OLD_SECONDS, LagSeconds
from tests.clock import Clock
from tests.reader_double import ReaderDouble
from tests.records import HandmadeRecord

NOW = 1_800_000_000.0


class Log(ReaderDouble):
    """One partition; None stands for a control record. Gives a chunk of two offsets at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[float | None] = []
        self.fetches = 0
        self.is_closed = False
        self.damaged: set[int] = set()

    async def end_offsets(self, partitions: Any) -> dict[int, int]:
        return dict.fromkeys(partitions, len(self.times))

    def assign(self, start_offsets: Any) -> None:
        super().assign(start_offsets)
        assert min(start_offsets.values()) >= self.first, "out of range"

    async def chunks(self, _: float) -> list[RecordChunk]:
        self.fetches += 1
        if self.is_closed:
            raise TopicAuthorizationFailedError
        (start,) = self.at.values()
        following = min(start + 2, len(self.times))
        records = [
            HandmadeRecord(offset, timestamp=int(time * 1000))
            for offset, time in enumerate(self.times)
            if start <= offset < following and time is not None
        ]
        damage = "torn" if start in self.damaged else None
        return [RecordChunk("log", 0, start, following, [records], damage=damage)]


class Watched:
    """A reader "r" of the log, that has applied up to an offset."""

    def __init__(self) -> None:
        self.log, self.applied = Log(), -1
        self.clock, self.steady = Clock(NOW), Clock(0.0)
        self.lag: LagSeconds[str] = LagSeconds(
            {},
            "log",
            lambda: {"r": {0: self.applied}},
            clock=self.clock,
            steady_clock=self.steady,
        )

    async def look(self, times: int = 1) -> None:
        for _ in range(times):
            await self.lag.look(self.log)  # type: ignore[arg-type]

    def passes(self, seconds: float) -> None:
        self.clock.now += seconds
        self.steady.now += seconds

    @property
    def seconds(self) -> float:
        return self.lag.seconds()["r"][0]


@pytest.fixture
def watched() -> Watched:
    return Watched()


async def test_nothing_is_said_before_the_log_was_looked_at(watched: Watched) -> None:
    assert watched.lag.seconds() == {"r": {}}


async def test_it_is_the_age_of_the_oldest_record_that_waits_and_grows(watched: Watched) -> None:
    watched.log.times = [NOW - 50, NOW - 40, NOW - 30]
    watched.applied = 0
    await watched.look()
    assert watched.seconds == pytest.approx(40)
    watched.passes(1)
    await watched.look()
    watched.passes(2.5)
    assert watched.seconds == pytest.approx(43.5)
    assert watched.log.fetches == 1, "what stands still is read once"
    watched.applied = 1
    await watched.look()
    assert watched.seconds == pytest.approx(33.5)
    watched.applied = 2
    assert watched.seconds == 0, "all that the last look has seen"


async def test_who_comes_on_and_stays_behind_never_looks_caught_up(watched: Watched) -> None:
    watched.log.times = [NOW - 100 + each for each in range(90)]
    await watched.look()
    watched.applied = 50
    assert watched.seconds >= 50


async def test_records_of_the_last_second_are_no_lag_and_are_not_read(watched: Watched) -> None:
    watched.log.times = [NOW]
    watched.applied = 0
    await watched.look()
    for _ in range(5):
        watched.log.times += [watched.clock.now] * 1000
        await watched.look()
        assert watched.seconds == 0
        watched.applied = len(watched.log.times) - 1
        watched.passes(1)
    assert watched.log.fetches == 0


async def test_control_records_are_no_lag_however_many(watched: Watched) -> None:
    watched.log.times = [NOW - 9, None, None, None]
    watched.applied = 0
    await watched.look(2)
    assert watched.seconds == 0
    watched.log.times.append(NOW - 5)
    await watched.look(2)
    assert watched.seconds == pytest.approx(5), "behind them is one now"


async def test_a_time_that_is_none_waits_since_it_was_seen(watched: Watched) -> None:
    watched.log.times = [1.0, NOW]
    await watched.look()
    assert watched.seconds == 0
    watched.passes(7)
    await watched.look()
    assert watched.seconds == pytest.approx(7)


async def test_a_clock_that_is_ahead_makes_no_negative_lag(watched: Watched) -> None:
    watched.log.times = [NOW + 600]
    await watched.look()
    assert watched.seconds == 0


async def test_a_batch_that_cannot_be_read_waits_since_it_was_seen(watched: Watched) -> None:
    watched.log.times, watched.log.damaged = [NOW - 50, NOW], {0}
    await watched.look()
    watched.passes(3)
    assert watched.seconds == pytest.approx(3)


async def test_who_may_not_read_the_log_is_told_since_when_it_was_seen(watched: Watched) -> None:
    watched.log.is_closed = True
    for turn in range(60):
        # Behind by more and more, and coming on all the time.
        watched.log.times.append(watched.clock.now)
        watched.applied = turn // 2
        await watched.look()
        watched.passes(1)
    assert watched.seconds == pytest.approx(60 - 30)
    assert watched.log.fetches == 1
    assert len(watched.lag._seen[0]) <= 31, "what is applied is forgotten"


async def test_of_a_log_without_its_head_it_is_what_is_left(watched: Watched) -> None:
    watched.log.times, watched.log.first = [NOW - 50, NOW - 40, NOW - 30], 2
    await watched.look()
    assert watched.seconds == pytest.approx(30)


async def test_without_a_look_who_was_not_behind_may_be(watched: Watched) -> None:
    watched.log.times, watched.applied = [NOW], 0
    await watched.look()
    watched.passes(OLD_SECONDS)
    assert watched.seconds == 0
    watched.passes(57)
    assert watched.seconds == pytest.approx(OLD_SECONDS + 57)
    await watched.look()
    assert watched.seconds == 0


async def test_a_partition_that_was_let_go_is_not_told(watched: Watched) -> None:
    watched.log.times = [NOW - 50]
    await watched.look()
    watched.lag._applied = lambda: {"r": {}}
    assert watched.lag.seconds() == {"r": {}}
