"""What a driver may do to a world, each as a name and 24 bits that say to whom and how.

An action that cannot be done just now does nothing, so any list of actions is a schedule, and
stays one when a part of it is cut out.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.model.faults import (
    bring_back,
    compact,
    copy_store,
    damage,
    kill,
    lose_directory,
    set_back,
)
from tests.model.kafka_log import ABORTED, COMMITTED, SimTransaction
from tests.model.log_faults import forget, late_marker, move, rotate, truncate
from tests.model.oracle import BAD, BROKEN_PAIR, GOOD, Value
from tests.model.world import PARTITIONS, World

Action = tuple[str, int]


def _values(bits: int) -> list[Value]:
    kind = bits & 15
    first = GOOD[(bits >> 4) % len(GOOD)]
    second = GOOD[(bits >> 9) % len(GOOD)]
    bad = BAD[(bits >> 14) % len(BAD)]
    if kind < 7:
        return [first]
    if kind < 9:
        return [first, second]
    if kind < 14:
        return [first, bad, second] if kind < 11 else [bad]
    return BROKEN_PAIR if kind == 14 else [*BROKEN_PAIR, first]


def append(world: World, bits: int) -> None:
    """Others write readings and bad records."""
    world.append(bits & 1, _values(bits >> 1))


def foreign(world: World, bits: int) -> None:
    """Others write in a transaction: begun, added to, committed or aborted."""
    partition = bits & 1
    transaction = world.foreign.get(partition)
    if transaction is None:
        transaction = world.foreign[partition] = SimTransaction()
    elif bits & 6:
        del world.foreign[partition]
        transaction.end(COMMITTED if bits & 2 else ABORTED)
        return
    world.append(partition, _values(bits >> 3), transaction)


def step(world: World, bits: int) -> None:
    """A worker goes on, one to sixteen stops, at times with the other one in between."""
    number, other = bits & 1, bits >> 6 if bits & 32 else 0
    for at in range(1 + (bits >> 1 & 15)):
        world.step(number ^ (other >> at & 1), bits >> (at + 5))


def pause(world: World, bits: int) -> None:
    """A worker is stopped; it may be out of the group when it goes on."""
    worker = world.workers[bits & 1]
    worker.is_paused = worker.is_alive
    if bits & 2:
        world.group.expel(worker.number)


def resume(world: World, bits: int) -> None:
    """A stopped worker goes on, at once or after a while, and knows nothing of what happened."""
    if bits & 14 == 14:
        world.pass_time(40.0, bits >> 4)
    world.workers[bits & 1].is_paused = False


def rebalance(world: World, bits: int) -> None:
    """Partitions move; a worker may be taken for dead."""
    if bits & 2:
        world.group.expel(bits & 1)
    else:
        world.group.generation += 1


def unanswered(world: World, bits: int) -> None:
    """A commit, or the next one, gets no answer; it was carried out, or was not, or will be."""
    holding = world.workers[bits >> 2 & 1].holdings[world.view(bits).place]
    holding.next_commit = ("late", "carried out", "lost", "carried out")[bits & 3]


def partition_off(world: World, bits: int) -> None:
    """The commits on their way get no answer."""
    for holding in world.holdings:
        for partition, request in list(holding.in_flight.items()):
            holding.unanswered.add(partition)
            del holding.in_flight[partition]
            if bits & 3 == 0:
                world.late.append(request)
            elif bits & 1:
                world.carry_out(request)


def deliver(world: World, bits: int) -> None:
    """Commits on their way arrive, of the living and of the dead."""
    late, world.late = world.late, []
    for request in late:
        world.carry_out(request)
    for holding in world.holdings:
        for partition, request in list(holding.in_flight.items()):
            del holding.in_flight[partition]
            if not world.carry_out(request):
                holding.unanswered.add(partition)


def expire(world: World, bits: int) -> None:
    """An open transaction's time is over."""
    ids = world.coordinator.open_ids()
    if ids:
        world.coordinator.expire(ids[bits % len(ids)])


def misfetch(world: World, bits: int) -> None:
    """The framework loses a chunk, or hands one out twice."""
    source = world.workers[bits & 1].source
    partition = bits >> 1 & 1
    if partition in source.positions:
        times = 1 + (bits >> 5 & 1)
        source.next_shifts[partition] = [(bits >> 2 & 7) - 4] * times


def fail_fold(world: World, bits: int) -> None:
    """The next chunk of a worker cannot be parsed, this once."""
    world.workers[bits & 1].fails_next_fold = world.workers[bits & 1].is_alive


def refuse_quarantine(world: World, bits: int) -> None:
    """The quarantine topic refuses, or accepts again; or the changelog of another view does."""
    view = world.view(bits)
    view.refuses = not view.refuses and bool(bits & 1)


def read(world: World, bits: int) -> None:
    """The reader follows a partition."""
    for at in range(2, 6 + (bits & 12), 4):
        how = bits >> at
        next_one = bool(how & 4)
        world.view(bits).reader.read(how % PARTITIONS, 8 if next_one else 2, next_one=next_one)


def switch(world: World, bits: int) -> None:
    """Another view version is live: the reader loads it beside the one it serves."""
    world.view(bits).reader.load_next(bits)


def roll_up(world: World, bits: int) -> None:
    """A day is over, or some: by the workers' clocks what is older is to be added up."""
    world.today += 1 + (bits & 1)


#: Name -> (what it does, its weight).
ACTIONS: dict[str, tuple[Callable[[World, int], None], int]] = {
    "step": (step, 120),
    "append": (append, 24),
    "read": (read, 22),
    "kill": (kill, 5),
    "rebalance": (rebalance, 5),
    "unanswered": (unanswered, 3),
    "partition_off": (partition_off, 1),
    "pause": (pause, 3),
    "resume": (resume, 4),
    "misfetch": (misfetch, 5),
    "foreign": (foreign, 4),
    "deliver": (deliver, 8),
    "expire": (expire, 1),
    "compact": (compact, 2),
    "copy_store": (copy_store, 4),
    "bring_back": (bring_back, 3),
    "damage": (damage, 5),
    "lose_directory": (lose_directory, 1),
    "fail_fold": (fail_fold, 1),
    "refuse_quarantine": (refuse_quarantine, 2),
    "set_back": (set_back, 2),
    "switch": (switch, 9),
    "rotate": (rotate, 8),
    "forget": (forget, 3),
    "late_marker": (late_marker, 6),
    "truncate": (truncate, 6),
    "move": (move, 4),
}
#: Where the series keeps some days.
ACTIONS_OF_DAYS = ACTIONS | {"roll_up": (roll_up, 16)}
