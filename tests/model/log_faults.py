"""What a driver may do to Kafka's memory and logs; see actions.py for the meaning of the bits."""

from __future__ import annotations

from contract.device_totals import DEVICE_TOTALS
from stream_app.changelog.fence import MOST_EPOCH
from tests.model.committing import AppendRequest
from tests.model.kafka_log import KAFKA, OTHER_MAKE, Fenced
from tests.model.oracle import BAD, GOOD
from tests.model.worker import SimWorker
from tests.model.world import World

DAY_SECONDS = 86_400.0
#: So many steps to the moment when what is forgotten matters most.
_MOST_STEPS = 48


def _batches(worker: SimWorker, *, sent: bool = False) -> list[int]:
    """Return the partitions of which a worker has a single batch under way, at least decided."""
    in_flight = [p for p, each in worker.in_flight.items() if isinstance(each, AppendRequest)]
    return in_flight if sent else [*worker.made, *in_flight]


def _worst_moment(world: World, bits: int) -> int:
    """Go on until a single batch is under way, for so long; returns its partition, or another."""
    partition = bits & 1
    for at in range(_MOST_STEPS if bits & 6 else 1):
        for worker in world.workers:
            for under_way in _batches(worker, sent=bool(bits & 8)):
                return under_way
        if bits & 6 and at % (_MOST_STEPS // 2) == 0:
            # The first commit of an owner may be a transaction, the one after it is none.
            world.append(partition, [GOOD[(bits + at) % len(GOOD)]])
        # Not the tasks that tell the group.
        world.step(at & 1, 2 + (at >> 1))
    late = [each.log.partition for each in world.late if isinstance(each, AppendRequest)]
    return late[0] if late else partition


def _cut_off(world: World, partition: int, bits: int) -> None:
    """Who has a batch under way is stopped, or its process is gone, and others take over.

    What it has sent may stay on its way for longer than anybody accounts for.
    """
    for worker in world.workers:
        if partition in _batches(worker):
            if bits & 3 == 3:
                worker.is_paused = True
            else:
                worker.die()
            world.group.expel(worker.number)
    if bits & 12:
        for request in world.late:
            if isinstance(request, AppendRequest) and request.log.partition == partition:
                request.is_held = True


def rotate(world: World, bits: int) -> None:
    """The coordinator hands out another producer id: it has lost one, or its epochs end."""
    partition = _worst_moment(world, bits >> 8)
    name = DEVICE_TOTALS.transactional_id(1, partition)
    if bits & 12:
        _cut_off(world, partition, bits >> 4)
    if bits & 3 == 2 and 0 <= world.coordinator.identity(name)[1] <= MOST_EPOCH:
        # Each of them has fenced the log.
        world.changelogs[partition].mark(None, world.coordinator.use_up(name))
    else:
        world.coordinator.lose(name)
    world.group.generation += 1


def forget(world: World, bits: int) -> None:
    """A day passes, and the changelogs forget all producers that were idle."""
    if bits & 2:
        _cut_off(world, _worst_moment(world, bits >> 8), bits >> 2)
    world.pass_time(DAY_SECONDS, bits >> 4)
    kept: dict[int, list[int]] = {}
    for worker in world.workers:
        if not worker.is_alive or worker.is_paused:
            continue
        for partition, writer in list(worker.writers.items()):
            if partition in worker.takeover.taken and partition not in worker.committing:
                # As `keep_until` and TransactionWriter.keep do.
                try:
                    worker.see_the_end(partition)
                except Fenced:
                    worker.die()
                    break
                kept.setdefault(partition, []).append(writer.producer_id)
    for log in world.changelogs:
        log.forget(kept.get(log.partition, []))


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
    partition = bits & 1
    log = world.changelogs[partition]
    under_way = [*world.late, *(r for w in world.workers for r in w.in_flight.values())]
    if any(isinstance(each, AppendRequest) and each.log is log for each in under_way):
        return
    if not any(partition in worker.made for worker in world.workers):
        log.leader = OTHER_MAKE if log.leader is KAFKA else KAFKA
