"""What a driver may do to Kafka's memory and logs; see actions.py for the meaning of the bits."""

from __future__ import annotations

from stream_app.changelog.fence import MOST_EPOCH
from tests.model.changelogs import Changelogs
from tests.model.committing import AppendRequest
from tests.model.holding import SimHolding
from tests.model.kafka_log import KAFKA, OTHER_MAKE, Fenced
from tests.model.oracle import BAD, GOOD
from tests.model.world import World

DAY_SECONDS = 86_400.0
#: So many steps to the moment when what is forgotten matters most.
_MOST_STEPS = 48


def _batches(holding: SimHolding, *, sent: bool = False) -> list[int]:
    """Return the partitions of which a worker has a single batch under way, at least decided."""
    in_flight = [p for p, each in holding.in_flight.items() if isinstance(each, AppendRequest)]
    return in_flight if sent else [*holding.made, *in_flight]


def _worst_moment(world: World, changelogs: Changelogs, bits: int) -> int:
    """Go on until a single batch is under way, for so long; returns its partition, or another."""
    partition = bits & 1
    for at in range(_MOST_STEPS if bits & 6 else 1):
        for worker in world.workers:
            holding = worker.holdings[changelogs.place]
            for under_way in _batches(holding, sent=bool(bits & 8)):
                return under_way
        if bits & 6 and at % (_MOST_STEPS // 2) == 0:
            # The first commit of an owner may be a transaction, the one after it is none.
            world.append(partition, [GOOD[(bits + at) % len(GOOD)]])
        # Not the tasks that tell the group.
        world.step(at & 1, 2 + (at >> 1))
    late = [
        each.partition
        for each in world.late
        if isinstance(each, AppendRequest) and each.changelogs is changelogs
    ]
    return late[0] if late else partition


def _cut_off(world: World, changelogs: Changelogs, partition: int, bits: int) -> None:
    """Who has a batch under way is stopped, or its process is gone, and others take over.

    What it has sent may stay on its way for longer than anybody accounts for.
    """
    for worker in world.workers:
        if partition in _batches(worker.holdings[changelogs.place]):
            if bits & 3 == 3:
                worker.is_paused = True
            else:
                worker.die()
            world.group.expel(worker.number)
    if bits & 12:
        for request in world.late:
            if isinstance(request, AppendRequest) and request.log is changelogs[partition]:
                request.is_held = True


def rotate(world: World, bits: int) -> None:
    """The coordinator hands out another producer id: it has lost one, or its epochs end."""
    changelogs = world.view(bits)
    partition = _worst_moment(world, changelogs, bits >> 8)
    name = changelogs.transactional_id(partition)
    if bits & 12:
        _cut_off(world, changelogs, partition, bits >> 4)
    if bits & 3 == 2 and 0 <= world.coordinator.identity(name)[1] <= MOST_EPOCH:
        # Each of them has fenced the log.
        changelogs[partition].mark(None, world.coordinator.use_up(name))
    else:
        world.coordinator.lose(name)
    world.group.generation += 1


def forget(world: World, bits: int) -> None:
    """A day passes, and the changelogs forget all producers that were idle."""
    if bits & 2:
        changelogs = world.view(bits)
        partition = _worst_moment(world, changelogs, bits >> 8)
        _cut_off(world, changelogs, partition, bits >> 2)
    world.pass_time(DAY_SECONDS, bits >> 4)
    kept: list[int] = []
    for holding in world.holdings:
        worker = world.workers[holding.number]
        if not worker.is_alive or worker.is_paused:
            continue
        for partition, writer in list(holding.writers.items()):
            if partition in holding.takeover.taken and partition not in holding.committing:
                # As `keep_until` and TransactionWriter.keep do.
                try:
                    holding.see_the_end(partition)
                except Fenced:
                    worker.die()
                    break
                # No two writers have one producer id.
                kept.append(writer.producer_id)
    for each in world.views:
        for log in each.logs:
            log.forget(kept)


def late_marker(world: World, bits: int) -> None:
    """The control record of the next end comes some steps after the answer."""
    world.coordinator.delay = 1 + (bits & 31)


def truncate(world: World, bits: int) -> None:
    """The readings log has another leader, which lacks its tail, and grows again with others."""
    partition = bits & 1
    log = world.readings[partition]
    batches = log.batches
    count = max(0, len(batches) - (bits >> 1 & 3))
    # A transaction is in the log whole, or not at all.
    before = {id(b.transaction) for b in batches[:count] if b.transaction is not None}
    if any(id(b.transaction) in before for b in batches[count:]):
        return
    log.truncate(count)
    foreign = world.foreign.get(partition)
    if foreign is not None and log not in foreign.logs:
        del world.foreign[partition]
    history = world.histories[partition][-1]
    left = [each for each in history if each.offset < log.end_offset]
    if len(left) < len(history):
        world.histories[partition].append(left)
    for at in range(bits >> 3 & 3):
        some = bits >> (5 + 5 * at)
        values = [GOOD[some % len(GOOD)], BAD[some % len(BAD)]][: 1 + (some & 1)]
        world.append(partition, values)


def move(world: World, bits: int) -> None:
    """A changelog's leader is a broker of another make now, whose log takes any writer.

    With no single batch under way: all brokers of a cluster are of one make.
    """
    partition, changelogs = bits & 1, world.view(bits)
    log = changelogs[partition]
    under_way = [*world.late, *(r for h in world.holdings for r in h.in_flight.values())]
    if any(isinstance(each, AppendRequest) and each.log is log for each in under_way):
        return
    if not any(partition in h.made for h in world.holdings if h.changelogs is changelogs):
        log.leader = OTHER_MAKE if log.leader is KAFKA else KAFKA
