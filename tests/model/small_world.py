"""The small world: 2 partitions, 2 workers, 6 records, killed at every place and pair of places.

Both workers go on in turns, task by task. After a given number of steps the worker that took the
last one is killed, with one choice of what survives; it starts again at its next turn.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import NamedTuple

from tests.model.oracle import BAD, GOOD
from tests.model.world import World

#: Before the first step, and in mid-work: (step, partition, values).
APPENDED = (
    (0, 0, (GOOD[0], BAD[2])),
    (0, 1, (GOOD[3],)),
    (30, 0, (GOOD[24],)),
    (36, 1, (BAD[0], GOOD[6])),
)
MOST_STEPS = 1_000


class Survival(NamedTuple):
    """What of a killed worker's unacknowledged effects survives."""

    commits: str
    keeps_batches: bool
    group_hears: bool


#: Steps after which the world is as before them, but for whose turn it is.
NOTHING_HAPPENED = ("idle", "heartbeat", "")


class Kill(NamedTuple):
    """After so many steps, with this much surviving."""

    step: int
    survival: Survival


def survivals(world: World, number: int, *, is_second: bool) -> list[Survival]:
    """Return every choice there is for a worker just now.

    Nobody goes on from the group's offset: whether it arrives is tried with single kills only.
    """
    worker = world.workers[number]
    holding = worker.holdings[0]
    unsynced = any(disk.has_more_than_tables() for disk in holding.directory.disks.values())
    return [
        Survival(*choice)
        for choice in product(
            ("carried out", "lost") if holding.in_flight else ("lost",),
            (True, False) if unsynced else (True,),
            (True, False) if worker.group_request and not is_second else (True,),
        )
    ]


def run(kills: list[Kill], visit: Callable[[World, int, str], None] = lambda *_: None) -> None:
    """Run the small world to its end and check it; `visit` is told of each step.

    Raises: Violation.
    """
    world = World()
    killed_at = {kill.step: kill.survival for kill in kills}
    turns = [0, 0]
    last = max(40, *killed_at, 0)
    for taken in range(MOST_STEPS):
        for at, partition, values in APPENDED:
            if at == taken:
                world.append(partition, list(values))
        number = taken % 2
        name = world.step(number, turns[number])
        turns[number] += 1
        visit(world, taken + 1, name)
        if taken % 5 == 0:
            world.views[0].reader.read(taken // 5 % 2, 2)
        survival = killed_at.get(taken + 1)
        if survival is not None:
            world.kill(
                number,
                commits=[survival.commits],
                keeps_batches=[survival.keeps_batches],
                group_hears=survival.group_hears,
            )
        if taken % 8 == 0 and taken >= last and world.is_drained():
            break
    world.drain()


def kills_after(kills: list[Kill]) -> list[Kill]:
    """Run with these kills; return every one that could follow, with every choice of survival."""
    last = max((kill.step for kill in kills), default=0)
    found: list[Kill] = []

    def visit(world: World, step: int, name: str) -> None:
        if step > last and name not in NOTHING_HAPPENED:
            number = (step - 1) % 2
            choices = survivals(world, number, is_second=bool(kills))
            found.extend(Kill(step, survival) for survival in choices)

    run(kills, visit)
    return found
