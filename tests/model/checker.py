"""I1-I4 and I6-I9 after the drain, I8 at each group commit: plain json and the oracle's sums."""

from __future__ import annotations

import json
from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from tests.model import succession
from tests.model.oracle import PrefixTotals, added
from tests.model.succession import MARKER
from tests.model.violations import Violation

if TYPE_CHECKING:
    from contract.changelog import Marker
    from stream_app.errors import PartitionRefusal
    from tests.model.disk import Disk
    from tests.model.kafka_log import SimLog
    from tests.model.world import World

BIRTH = b"\x00birth"
STORE_OFFSET = b"__faust\x00offset__"
STORE_PARTITION = b"\x00partition"
STORE_RECOVERING = b"\x00recovering"


def marker(changelog: SimLog) -> dict[str, Any]:
    """Return the last marker of the acknowledged changelog."""
    for batch in reversed(changelog.batches):
        if batch.is_committed():
            for record in reversed(batch.records):
                if record.key == MARKER:
                    return _parsed(record.value or b"")
    raise Violation("I6", f"partition {changelog.partition} has no marker")


def applied_offset(changelog: SimLog) -> int:
    """Return what the acknowledged changelog says is applied."""
    return int(marker(changelog)["applied_offset"])


@lru_cache(maxsize=4_096)
def _parsed(value: bytes) -> dict[str, Any]:
    return dict(json.loads(value))


def check_progress(world: World) -> None:
    """I10, for a reader that is always at the end: what is applied never falls."""
    for partition, log in enumerate(world.changelogs):
        applied, before = applied_offset(log), world.applied[partition]
        if applied < before and partition not in world.stale:
            raise Violation("I10", f"changelog {partition}: applied {before}, then {applied}")
        world.applied[partition] = applied


def check_set_aside(world: World, partition: int, disk: Disk) -> None:
    """I13: a sound store of a changelog that is sound itself is trusted."""
    is_own = disk.data.get(STORE_PARTITION) == b"%d" % partition
    lost_nothing = partition not in world.were_set_back | world.stale.keys()
    lost_nothing &= len(world.histories[partition]) == 1
    if is_own and disk.health == "sound" and lost_nothing:
        raise Violation("I13", f"the sound store of partition {partition} is set aside")


def check_lineage(world: World, partition: int, marker: Marker) -> None:
    """I14: nobody works on a partition whose log is another one than was counted."""
    if is_replaced(world, partition, marker.applied_offset, marker.checksum):
        raise Violation("I14", f"partition {partition} is worked on, its log was replaced")


def is_replaced(world: World, partition: int, applied: int, checksum: int | None) -> bool:
    """Tell whether other readings stand where the marker says which were counted."""
    if checksum is None:
        return False
    found = world.readings[partition].stamp_at(applied)
    return found is None or found.checksum != checksum


def check_group(world: World) -> None:
    """I8: the group is never beyond what the changelog has."""
    for partition, offset in world.group.offsets.items():
        if offset == 0 or partition in world.stale:
            continue
        applied = applied_offset(world.changelogs[partition])
        if applied + 1 >= offset:
            continue
        beyond = [one.offset for one in world.appended[partition] if applied < one.offset < offset]
        if beyond:
            raise Violation("I8", f"partition {partition}: {beyond} committed, not applied")


def check_drained(world: World) -> None:
    """Everything that must hold once all is applied, all owned and all read."""
    broken = {p for p in world.stale if succession.breaks_the_chain(world.changelogs[p])}
    refused = world.refused()
    parts = []
    for partition, log in enumerate(world.changelogs):
        if partition in broken:
            continue
        latest = committed_values(log)
        marker = json.loads(latest.pop(MARKER))
        latest.pop(BIRTH)
        expected = _expected(world, partition, marker, latest, refused.get(partition))
        _same("I2", f"changelog {partition}", latest, expected.expected())
        _same("I6", f"counted {partition}", marker["counted"], expected.counted)
        _same("I6", f"quarantined {partition}", marker["quarantined"], len(expected.bad))
        _check_quarantine(world.quarantines[partition], expected.bad)
        parts.append(expected.totals)
        if partition not in refused or partition not in world.stale:
            _check_store(world, partition)
    readers = [("reader", world.reader)]
    if broken or world.clock % 4 == 0:
        # A good part of the time that a schedule takes.
        readers.append(("fresh reader", world.fresh_reader()))
    oracle = added(parts)
    for name, reader in readers:
        _same("I15", f"{name}: refuses by name", reader.has_refused, bool(broken))
        if broken:
            continue
        totals = reader.totals()
        surplus = [d for d in totals if totals[d][1] > oracle.get(d, ("", 0))[1]]
        _same("I4", f"{name}: readings beyond the oracle's", surplus, [])
        _same("I1 I2 I3 I9", name, totals, oracle)
        _same("I2", f"{name}: devices", reader.served.view.devices, len(oracle))
        offsets = [applied_offset(log) for log in world.changelogs]
        _same("I7", f"{name}: offsets", reader.served.view.applied_offsets(), offsets)


def _expected(
    world: World,
    partition: int,
    marker: dict[str, Any],
    totals: dict[bytes, bytes],
    refusal: PartitionRefusal | None,
) -> PrefixTotals:
    """Return what is to be counted: all that is there now, or of a refused partition what was.

    I16: a partition is refused only where what was counted is not there any more.
    """
    applied = marker["applied_offset"]
    if refusal is None:
        expected = PrefixTotals(world.appended[partition])
        expected.advance(world.readings[partition].end_offset - 1)
        return expected
    if not is_replaced(world, partition, applied, marker["checksum"]):
        raise Violation("I16", f"without need: {refusal}")
    expected = PrefixTotals([])
    for history in world.histories[partition]:
        expected = PrefixTotals(history)
        expected.advance(applied)
        if expected.expected() == totals and len(expected.bad) == marker["quarantined"]:
            break
    return expected


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
