"""When a worker that applies nothing ends itself, and above all when it does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from contract.device_totals import DEVICE_TOTALS
from stream_app.checks.progress_watchdog import LOOKS, Look, StuckJudge, look_at
from stream_app.ownership.all_views import AllViews
from tests.first_letters import FIRST_LETTERS


def verdicts(look: Callable[[int], Look | None]) -> list[str]:
    """What is said in three times as many looks as it takes."""
    judge, said = StuckJudge(), []
    for turn in range(3 * LOOKS):
        found = look(turn)
        if found is None:
            judge.forget()
        elif (stuck := judge.judge(found)) is not None:
            said.append(stuck)
    return said


def test_nothing_applied_while_the_log_grows_is_stuck() -> None:
    said = verdicts(lambda turn: Look(1, {0: 9, 2: 5}, {0: 10, 2: 20 + turn}))
    assert len(said) == 2 * LOOKS
    assert said[0].endswith(f"partition 2 at 5 of {20 + LOOKS - 1}")


def test_x55_a_partition_that_is_stuck_alone_is_named_whatever_the_others_do() -> None:
    said = verdicts(lambda turn: Look(1, {0: turn, 1: 7, 2: 9}, {0: 10**6, 1: 20 + turn, 2: 10}))
    assert len(said) == 2 * LOOKS
    assert said[0].endswith(f"partition 1 at 7 of {20 + LOOKS - 1}")


@pytest.mark.parametrize(
    "look",
    [
        pytest.param(lambda _: Look(1, {0: 9}, {0: 10}), id="all is applied"),
        pytest.param(lambda turn: Look(1, {0: turn}, {0: 10**6 + turn}), id="slow but moving"),
        pytest.param(
            lambda turn: Look(
                1, dict.fromkeys((0, 1), turn // (LOOKS - 1)), dict.fromkeys((0, 1), 10**6 + turn)
            ),
            id="all move in time",
        ),
        pytest.param(lambda _: Look(1, {0: 5}, {0: 20}), id="lag does not grow"),
        pytest.param(lambda _: Look(1, {0: 5}, {0: 6}), id="behind a foreign open transaction"),
        pytest.param(
            lambda turn: Look(turn // LOOKS, {0: 5}, {0: 20 + turn}), id="rebalances in between"
        ),
        pytest.param(
            lambda turn: None if turn % LOOKS == 0 else Look(1, {0: 5}, {0: 20 + turn}),
            id="recovers, waits or has no broker in between",
        ),
        pytest.param(
            lambda turn: Look(1, {0: turn // 2}, {0: turn // 2 + 1 + turn % 2}),
            id="idle, now and then a reading",
        ),
    ],
)
def test_whatever_explains_it_ends_nobody(look: Callable[[int], Look | None]) -> None:
    assert verdicts(look) == []


class Processor:
    generation = 3

    def __init__(self, refusal: str | None = None, *, applied: int = 5) -> None:
        self.refusal, self.applied_offset = refusal, applied


class Owned:
    """What a worker has of one view."""

    def __init__(
        self, processors: dict[int, Processor], *forgotten: int, is_recovering: bool = False
    ) -> None:
        self.processors, self.is_recovering = processors, is_recovering
        self.forgotten = lambda: list(forgotten)


class Ends:
    def end_offsets(self, _topic: str, partitions: int, *, committed: bool) -> list[int]:
        assert committed, "beyond the last stable offset nothing can be applied"
        return [100 + partition for partition in range(partitions)]


@pytest.mark.parametrize(
    ("owned", "found"),
    [
        (Owned({1: Processor()}), Look(3, {1: 5}, {1: 101})),
        (Owned({1: Processor()}, is_recovering=True), None),
        (
            Owned({1: Processor(), 0: Processor("Kafka refuses the quarantine")}),
            Look(3, {1: 5}, {1: 101}),
        ),
        (Owned({0: Processor("Kafka refuses the quarantine")}), None),
        (Owned({}), None),
        (Owned({1: Processor()}, 0), Look(3, {0: -1, 1: 5}, {0: 100, 1: 101})),
        (Owned({}, 0), Look(-1, {0: -1}, {0: 100})),
        (Owned({}, 0, is_recovering=True), None),
    ],
)
def test_a_look_is_taken_only_of_partitions_at_work(owned: Any, found: Look | None) -> None:
    ends: Any = Ends()
    assert look_at(AllViews({DEVICE_TOTALS: owned}), ends, 4) == found


@pytest.mark.parametrize(
    ("other", "applied"),
    [
        (Owned({1: Processor(applied=4)}), 4),
        (Owned({1: Processor(applied=6)}), 5),
        (Owned({1: Processor("its changelog is damaged", applied=4)}), 5),
        (Owned({}, 1), -1),
    ],
)
def test_a_partition_is_judged_by_the_view_that_is_furthest_behind(
    other: Any, applied: int
) -> None:
    views: Any = {DEVICE_TOTALS: Owned({1: Processor()}), FIRST_LETTERS: other}
    ends: Any = Ends()
    look = look_at(AllViews(views), ends, 4)
    assert look.applied == {1: applied}
