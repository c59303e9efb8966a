"""I1-I4 and I6-I9 after the drain, I8 at each group commit: plain json and the oracle's sums."""

from __future__ import annotations

import json
from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from tests.model.oracle import PrefixTotals, added
from tests.model.violations import Violation

if TYPE_CHECKING:
    from tests.model.kafka_log import Producer, SimLog
    from tests.model.world import World

MARKER = b"\x00applied"
BIRTH = b"\x00birth"
STORE_OFFSET = b"__faust\x00offset__"
STORE_PARTITION = b"\x00partition"
STORE_RECOVERING = b"\x00recovering"


def applied_offset(changelog: SimLog) -> int:
    """Return what the acknowledged changelog says is applied."""
    for batch in reversed(changelog.batches):
        if batch.is_committed():
            for record in reversed(batch.records):
                if record.key == MARKER:
                    return _offset_in(record.value or b"")
    raise Violation("I6", f"partition {changelog.partition} has no marker")


@lru_cache(maxsize=4_096)
def _offset_in(marker: bytes) -> int:
    return int(json.loads(marker)["applied_offset"])


def check_progress(world: World) -> None:
    """I10, for a reader that is always at the end: what is applied never falls."""
    for partition, log in enumerate(world.changelogs):
        applied, before = applied_offset(log), world.applied[partition]
        if applied < before:
            raise Violation("I10", f"changelog {partition}: applied {before}, then {applied}")
        world.applied[partition] = applied


def check_owner(world: World, partition: int, producer: Producer) -> None:
    """I1: nothing of a former owner comes into a changelog that the next one has read."""
    for worker in world.workers:
        reader = worker.has_read.get(partition, producer)
        is_former = reader.transactional_id == producer.transactional_id
        if is_former and reader.epoch > producer.epoch:
            raise Violation("I1", f"changelog {partition}: epoch {producer.epoch} wrote, {reader}")


def check_group(world: World) -> None:
    """I8: the group is never beyond what the changelog has."""
    for partition, offset in world.group.offsets.items():
        if offset == 0:
            continue
        applied = applied_offset(world.changelogs[partition])
        if applied + 1 >= offset:
            continue
        beyond = [one.offset for one in world.appended[partition] if applied < one.offset < offset]
        if beyond:
            raise Violation("I8", f"partition {partition}: {beyond} committed, not applied")


def check_drained(world: World) -> None:
    """Everything that must hold once all is applied, all owned and all read."""
    parts = []
    for partition, log in enumerate(world.changelogs):
        expected = PrefixTotals(world.appended[partition])
        expected.advance(world.readings[partition].end_offset - 1)
        latest = committed_values(log)
        marker = json.loads(latest.pop(MARKER))
        latest.pop(BIRTH)
        _same("I2", f"changelog {partition}", latest, expected.expected())
        _same("I6", f"counted {partition}", marker["counted"], expected.counted)
        _same("I6", f"quarantined {partition}", marker["quarantined"], len(expected.bad))
        _check_quarantine(world.quarantines[partition], expected.bad)
        parts.append(expected.totals)
        _check_store(world, partition)
    oracle = added(parts)
    readers = [("reader", world.reader)]
    if world.clock % 4 == 0:
        # A good part of the time that a schedule takes.
        readers.append(("fresh reader", world.fresh_reader()))
    for name, reader in readers:
        totals = reader.totals()
        surplus = [d for d in totals if totals[d][1] > oracle.get(d, ("", 0))[1]]
        _same("I4", f"{name}: readings beyond the oracle's", surplus, [])
        _same("I1 I2 I3 I9", name, totals, oracle)
        _same("I2", f"{name}: devices", reader.served.view.devices, len(oracle))
        offsets = [applied_offset(log) for log in world.changelogs]
        _same("I7", f"{name}: offsets", reader.served.view.applied_offsets(), offsets)


def committed_values(log: SimLog) -> dict[bytes, bytes]:
    """Return the last committed value of each key."""
    values: dict[bytes, bytes] = {}
    for batch in log.batches:
        if batch.is_committed():
            for record in batch.records:
                values[record.key or b""] = record.value or b""
    return values


def _check_quarantine(log: SimLog, bad: list[int]) -> None:
    """I6: each bad record is in the quarantine once, under its origin."""
    if not bad and not log.batches:
        return
    found: Counter[Any] = Counter()
    for batch in log.batches:
        if batch.is_committed():
            for record in batch.records:
                row = json.loads(record.value or b"")
                found[(row["__partition"], row["__offset"])] += 1
    _same("I6", "quarantine", found, Counter((log.partition, offset) for offset in bad))


def _check_store(world: World, partition: int) -> None:
    """I7: the owner's store is the changelog."""
    store = dict(world.owner_store(partition))
    written = int(store.pop(STORE_OFFSET))
    _same("I7", "a store's recovery", store.pop(STORE_RECOVERING, b""), b"")
    _same("I7", "partition of a store", store.pop(STORE_PARTITION), b"%d" % partition)
    if written >= world.changelogs[partition].end_offset:
        raise Violation("I7", f"store {partition} is written to {written}, beyond the changelog")
    _same("I7", f"store {partition}", store, committed_values(world.changelogs[partition]))


def _same(invariant: str, what: str, found: Any, expected: Any) -> None:
    if found != expected:
        raise Violation(invariant, f"{what}: {found}, not {expected}")
