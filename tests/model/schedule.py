"""Schedules: made from a seed, run, and made smaller when they fail."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Callable, Iterable
from itertools import accumulate
from pathlib import Path

from tests.model.actions import ACTIONS, Action
from tests.model.violations import Violation
from tests.model.world import World

KEPT = Path(__file__).with_name("kept")
SHORTEST, LONGEST = 20, 50
_NAMES = list(ACTIONS)
_WEIGHTS = list(accumulate(weight for _, weight in ACTIONS.values()))
_DO = {name: do for name, (do, _) in ACTIONS.items()}
Failure = BaseException


def schedule_of(seed: int) -> list[Action]:
    """Make the schedule of a seed."""
    rng = random.Random(seed)
    names = rng.choices(_NAMES, cum_weights=_WEIGHTS, k=rng.randint(SHORTEST, LONGEST))
    return [(name, rng.getrandbits(24)) for name in names]


def run(schedule: Iterable[Action], world_class: type[World] = World) -> World:
    """Do every action, drain and check. Raises: Violation, or whatever the code raised."""
    world = world_class()
    for name, bits in schedule:
        if world.trace is not None:
            world.trace.append(f"{name} {bits:06x}")
        _DO[name](world, bits)
    world.drain()
    return world


def failure_of(schedule: Iterable[Action], world_class: type[World] = World) -> Failure | None:
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
    schedule: list[Action], world_class: type[World] = World, most_runs: int = 4_000
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
    seeds: Iterable[int],
    world_class: type[World] = World,
    progress: Callable[[int], None] = lambda _: None,
) -> tuple[int, Failure] | None:
    """Run the schedules of seeds until one fails; returns its seed and what was wrong."""
    for done, seed in enumerate(seeds):
        failure = failure_of(schedule_of(seed), world_class)
        if failure is not None:
            return seed, failure
        progress(done + 1)
    return None


def keep(seed: int, schedule: list[Action], failure: Failure) -> Path:
    """Write a failing schedule to where the tests run it again for ever."""
    path = KEPT / f"seed-{seed}.json"
    text = json.dumps({"failure": repr(failure), "schedule": schedule}, indent=0)
    path.write_text(text + "\n", encoding="utf-8")
    return path


def kept(path: Path) -> list[Action]:
    """Read a kept schedule."""
    return [(name, bits) for name, bits in json.loads(path.read_text())["schedule"]]


def quiet() -> None:
    """Millions of schedules set stores aside; nobody needs a line for each."""
    logging.getLogger("stream_app").setLevel(logging.ERROR)
