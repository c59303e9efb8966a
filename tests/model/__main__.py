"""Run many schedules: `python -m tests.model --schedules 1000000 --seed 7`, on all cores.

`--replay SEED` shows one step by step. A failure is made smaller, shown, and kept in
tests/model/kept, where the tests run it again. Ends 0 if there was none.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from os import cpu_count

from tests.model.actions import Action
from tests.model.schedule import (
    failure_of,
    first_failure,
    keep,
    quiet,
    schedule_of,
    shrunk,
    world_of,
)
from tests.model.world import KeepsADay, TwoViews, World

SHARE = 2_000


def main(arguments: list[str]) -> int:
    """Run, print one line, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__)
    parser.add_argument("--schedules", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=None, help="the first; default: the time")
    parser.add_argument("--processes", type=int, default=cpu_count())
    parser.add_argument("--replay", type=int, help="show the schedule of this seed")
    options = parser.parse_args(arguments)
    quiet()
    if options.replay is not None:
        return show(options.replay, schedule_of(options.replay))
    first = int(time.time()) * 1_000_000 if options.seed is None else options.seed
    last = first + options.schedules
    began = time.perf_counter()
    print(f"schedules {first} to {last - 1}", flush=True)
    shares = [range(at, min(at + SHARE, last)) for at in range(first, last, SHARE)]
    with ProcessPoolExecutor(options.processes, get_context("spawn"), quiet) as pool:
        for found in pool.map(first_failure, shares):
            if found is not None:
                pool.shutdown(cancel_futures=True)
                return report(*found)
    rate = options.schedules / (time.perf_counter() - began)
    print(f"{options.schedules} schedules, 0 violations, {rate:.0f}/s")
    return 0


def report(seed: int, failure: BaseException) -> int:
    """Show a failure, as small as it gets."""
    print(f"seed {seed}: {failure!r}")
    small = shrunk(schedule_of(seed), world_of(seed))
    print(f"kept: {keep(seed, small, failure)}")
    return show(seed, small)


class Tracing(World):
    """A world that tells what happened in it."""

    last: World

    def __init__(self) -> None:
        super().__init__()
        self.trace = []
        Tracing.last = self


class TracingTwoViews(Tracing, TwoViews):
    """The same of two views."""


class TracingDays(Tracing, KeepsADay):
    """The same of two views, of which one keeps a day."""


_TRACING: dict[int, type[Tracing]] = {
    each.kind: each for each in (Tracing, TracingTwoViews, TracingDays)
}


def tracing(seed: int) -> type[World]:
    """Return the world of a seed that tells what happened."""
    return _TRACING[world_of(seed).kind]


def show(seed: int, schedule: list[Action]) -> int:
    """Print what happens in a schedule, in the world of a seed."""
    failure = failure_of(schedule, tracing(seed))
    print("\n".join(Tracing.last.trace or []))
    if failure is not None:
        traceback.print_exception(failure)
    return 1 if failure else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
