"""What a driver may do to stores and changelogs; see actions.py for the meaning of the bits."""

from __future__ import annotations

from tests.model import checker
from tests.model.disk import NOTHING_READABLE, TOTALS_UNREADABLE, Disk
from tests.model.oracle import GOOD
from tests.model.world import World

_ALONE_STEPS = 80


def kill(world: World, bits: int) -> None:
    """A worker is killed, or its machine: what was not acknowledged may be lost."""
    outcomes = ("carried out", "lost", "late", "late")
    world.kill(
        bits & 1,
        commits=(outcomes[bits >> 1 & 3], outcomes[bits >> 20 & 3]),
        keeps_batches=(bool(bits & 24), bool(bits >> 18 & 3)),
        group_hears=bool(bits & 32),
    )


def lose_directory(world: World, bits: int) -> None:
    """A killed worker comes back with an empty directory, at times of one view only."""
    kill(world, bits)
    for holding in world.workers[bits & 1].holdings:
        if bits & 64 or holding.changelogs is world.view(bits):
            holding.directory.disks.clear()


def _disks(world: World, bits: int) -> dict[int, Disk]:
    return world.workers[bits & 1].holdings[world.view(bits).place].directory.disks


def damage(world: World, bits: int) -> None:
    """A store cannot be read any more: nothing of it, or none of its totals."""
    disk = _disks(world, bits).get(bits >> 1 & 1)
    if disk is not None:
        disk.health = NOTHING_READABLE if bits & 12 == 0 else TOTALS_UNREADABLE


def copy_store(world: World, bits: int) -> None:
    """Somebody keeps a copy of a store."""
    partition = bits >> 1 & 1
    disk = _disks(world, bits).get(partition)
    if disk is not None:
        world.copies.append((world.view(bits).place, partition, disk.copy()))


def bring_back(world: World, bits: int) -> None:
    """A killed worker comes back with an old copy of a store.

    At times it is that of another partition, or of another view.
    """
    if not world.copies:
        return
    kill(world, bits)
    place, partition, disk = world.copies[(bits >> 6) % len(world.copies)]
    to = partition if bits >> 10 & 1 else 1 - partition
    if bits >> 11 & 3 == 3:
        place = world.view(bits).place
    world.workers[bits & 1].holdings[place].directory.disks[to] = disk.copy()


def compact(world: World, bits: int) -> None:
    """Old changelog records go; never what a running reader has still to read."""
    partition, changelogs = bits & 1, world.view(bits)
    if partition in changelogs.stale:
        # The lag promises that every reader has seen what is compacted away, and refused it.
        return
    log = changelogs[partition]
    before = min(log.last_stable_offset(), changelogs.reader.safe_to_compact(partition))
    # Nor what stands below the end that a recovery reads to, for what stands behind it.
    for worker in world.workers:
        before = min(before, worker.holdings[changelogs.place].recovers_to(partition, before))
    before = before * (1 + (bits >> 1 & 3)) // 4
    log.compact(before, drop_controls=bool(bits & 8))
    changelogs.compacted_to[partition] = max(before, changelogs.compacted_to[partition])


def set_back(world: World, bits: int) -> None:
    """A view's changelogs come back from an old backup, and stores may be ahead of them."""
    partition, changelogs = bits & 1, world.view(bits)
    log = changelogs[partition]
    for worker in world.workers:
        worker.die()
    for transactional_id in world.coordinator.open_ids():
        world.coordinator.expire(transactional_id)
    world.coordinator.complete_all()
    world.late = []
    ends = [
        batch.next_offset
        for batch in log.batches
        if (batch.is_control or batch.transaction is None)
        and batch.next_offset >= changelogs.compacted_to[partition]
    ]
    if not ends:
        return
    log.end_offset = ends[max(0, len(ends) - 2 - (bits >> 2 & 7))]
    gone = {b.transaction for b in log.batches if b.next_offset > log.end_offset and b.transaction}
    log.batches = [b for b in log.batches if b.next_offset <= log.end_offset]
    quarantine = world.quarantines[partition]
    quarantine.batches = [b for b in quarantine.batches if b.transaction not in gone]
    changelogs.applied[partition] = applied = checker.applied_offset(log)
    changelogs.cutoffs[partition] = checker.cutoff_of(checker.marker(log))
    world.group.offsets[partition] = min(world.group.offsets[partition], applied + 1)
    changelogs.were_set_back.add(partition)
    if partition in changelogs.stale and changelogs.stale[partition][1] >= log.end_offset:
        del changelogs.stale[partition]
    changelogs.reader = world.reader_class(world, changelogs)
    if bits & 32:
        _go_on_alone(world, bits >> 6 & 1, partition, bits >> 7)


def _go_on_alone(world: World, number: int, partition: int, bits: int) -> None:
    """One worker works alone for a while: the log grows again, beyond what stores may be ahead."""
    world.group.expel(1 - number)
    for at in range(_ALONE_STEPS):
        if at % 16 == 0:
            world.append(partition, [GOOD[(bits + at) % len(GOOD)]])
        world.step(number, 2 + at)
