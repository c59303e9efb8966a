"""Schedules: made from a seed, run, and made smaller when they fail."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Iterable
from itertools import accumulate
from pathlib import Path

from tests.model.actions import ACTIONS, ACTIONS_OF_DAYS, Action
from tests.model.violations import Violation
from tests.model.world import KeepsADay, TwoViews, World

KEPT = Path(__file__).with_name("kept")
SHORTEST, LONGEST = 20, 50
_DO = {name: do for name, (do, _) in ACTIONS_OF_DAYS.items()}
Failure = BaseException
WORLDS: dict[int, type[World]] = {each.kind: each for each in (World, TwoViews, KeepsADay)}
#: Of so many seeds one has a series that keeps some days.
SELDOM = 8


def schedule_of(seed: int, world_class: type[World] | None = None) -> list[Action]:
    """Make the schedule of a seed, for the world that it says or for this one."""
    rng = random.Random(seed)
    actions = ACTIONS_OF_DAYS if (world_class or world_of(seed)).keep_days else ACTIONS
    weights = list(accumulate(weight for _, weight in actions.values()))
    names = rng.choices(list(actions), cum_weights=weights, k=rng.randint(SHORTEST, LONGEST))
    return [(name, rng.getrandbits(24)) for name in names]


def world_of(seed: int) -> type[World]:
    """Return what the schedule of a seed is run in: every other one has two views."""
    return KeepsADay if seed % SELDOM == SELDOM - 1 else WORLDS[1 + seed % 2]


def run(schedule: Iterable[Action], world_class: type[World]) -> World:
    """Do every action, drain and check. Raises: Violation, or whatever the code raised."""
    world = world_class()
    for name, bits in schedule:
        if world.trace is not None:
            world.trace.append(f"{name} {bits:06x}")
        _DO[name](world, bits)
    world.drain()
    return world


def failure_of(schedule: Iterable[Action], world_class: type[World]) -> Failure | None:
    """Run a schedule; return what was wrong, or None."""
    try:
        run(schedule, world_class)
    except Exception as error:
        return error
    return None


def is_same(one: Failure | None, other: Failure) -> bool:
    """Tell whether two failures are of one kind."""
    if isinstance(one, Violation) and isinstance(other, Violation):
        return one.invariant == other.invariant
    return type(one) is type(other)


def shrunk(
    schedule: list[Action], world_class: type[World], most_runs: int = 4_000
) -> list[Action]:
    """Cut out every part without which it still fails in the same way."""
    failure = failure_of(schedule, world_class)
    assert failure is not None
    size = len(schedule) // 2
    runs = 0
    while size:
        at = 0
        is_smaller = False
        while at < len(schedule) and runs < most_runs:
            without = schedule[:at] + schedule[at + size :]
            runs += 1
            if is_same(failure_of(without, world_class), failure):
                schedule, is_smaller = without, True
            else:
                at += size
        if size == 1 and is_smaller:
            continue
        size //= 2
    return schedule


def first_failure(
    seeds: Iterable[int], world_class: type[World] | None = None
) -> tuple[int, Failure] | None:
    """Run the schedules of seeds until one fails; returns its seed and what was wrong.

    In a world of this class, else in the one that each seed says.
    """
    for seed in seeds:
        world = world_class or world_of(seed)
        failure = failure_of(schedule_of(seed, world), world)
        if failure is not None:
            return seed, failure
    return None


def keep(seed: int, schedule: list[Action], failure: Failure) -> Path:
    """Write a failing schedule to where the tests run it again for ever."""
    path = KEPT / f"seed-{seed}.json"
    what = {"failure": repr(failure), "world": world_of(seed).kind, "schedule": schedule}
    text = json.dumps(what, indent=0)
    path.write_text(text + "\n", encoding="utf-8")
    return path


def kept(path: Path) -> tuple[list[Action], type[World]]:
    """Read a kept schedule, and what it is run in."""
    what = json.loads(path.read_text())
    return [(name, bits) for name, bits in what["schedule"]], WORLDS[what["world"]]


def quiet() -> None:
    """Millions of schedules set stores aside; nobody needs a line for each."""
    logging.getLogger("stream_app").setLevel(logging.ERROR)
