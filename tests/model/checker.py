"""I1-I4 and I6-I9 after the drain, I8 at each group commit: plain json and the oracle's sums."""

from __future__ import annotations

import json
from collections import Counter
from decimal import localcontext
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from contract.changelog import RESERVED_PREFIX
from contract.decimals import EXACT
from tests.model import oracle, succession
from tests.model.oracle import PrefixTotals
from tests.model.succession import MARKER
from tests.model.violations import Violation

if TYPE_CHECKING:
    from contract.changelog import Marker
    from contract.view import View
    from stream_app.errors import PartitionRefusal
    from tests.model.changelogs import Changelogs
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


def cutoff_of(marker: dict[str, Any]) -> int:
    """Return the hour before which all is added up; 0: none."""
    return int(marker["rolled_up"]["cutoff"]) if "rolled_up" in marker else 0


@lru_cache(maxsize=4_096)
def _parsed(value: bytes) -> dict[str, Any]:
    return dict(json.loads(value))


def check_progress(world: World) -> None:
    """I10, for a reader that is always at the end: what is applied never falls."""
    for changelogs in world.views:
        for partition, log in enumerate(changelogs.logs):
            applied, before = applied_offset(log), changelogs.applied[partition]
            if applied < before and partition not in changelogs.stale:
                what = f"{log.topic} {partition}: applied {before}, then {applied}"
                raise Violation("I10", what)
            changelogs.applied[partition] = applied
            _check_cutoff(changelogs, partition)
    if len(world.views) > 1:
        check_books(world)


def _check_cutoff(changelogs: Changelogs, partition: int) -> None:
    """I21: the cutoff is never moved back."""
    cutoff, before = cutoff_of(marker(changelogs[partition])), changelogs.cutoffs[partition]
    if cutoff < before and partition not in changelogs.stale:
        what = f"{changelogs.view.name} {partition}: cutoff {before}, then {cutoff}"
        raise Violation("I21", what)
    changelogs.cutoffs[partition] = cutoff


def check_books(world: World) -> None:
    """I19: where both views have applied the same, they add up to the same of each device.

    That is the same batch of the readings: after a log was cut off, one may be set aside with
    what is not there any more.
    """
    totals, series = world.views
    for partition in range(len(totals.logs)):
        offset = totals.applied[partition]
        is_stale = partition in totals.stale.keys() | series.stale.keys()
        if is_stale or offset != series.applied[partition]:
            continue
        checksums = {marker(each[partition])["checksum"] for each in world.views}
        if len(checksums) > 1:
            continue
        sums = [_sums(each.view, committed_values(each[partition])) for each in world.views]
        _same("I19", f"the books of partition {partition} at {offset}", sums[1], sums[0])


def _sums(view: View, values: dict[bytes, bytes]) -> dict[str, Any]:
    """Return sum and number of readings of each device."""
    sums: dict[str, Any] = {}
    with localcontext(EXACT):
        for key, value in values.items():
            if not key.startswith(RESERVED_PREFIX):
                total, readings = view.amount(value)
                device = view.name_row(key)["device_id"]
                before = sums.get(device, (0, 0))
                sums[device] = before[0] + total, before[1] + readings
    return sums


def check_set_aside(world: World, changelogs: Changelogs, partition: int, disk: Disk) -> None:
    """I13: a sound store of a changelog that is sound itself is trusted."""
    is_own = disk.data.get(STORE_PARTITION) == b"%d" % partition
    is_own &= disk.data.get(BIRTH) == changelogs.birth_bytes
    lost_nothing = partition not in changelogs.were_set_back | changelogs.stale.keys()
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
        for changelogs in world.views if offset else ():
            if partition in changelogs.stale:
                continue
            applied = applied_offset(changelogs[partition])
            if applied + 1 >= offset:
                continue
            appended = world.appended[partition]
            beyond = [one.offset for one in appended if applied < one.offset < offset]
            if beyond:
                what = f"{changelogs.view.name} {partition}: {beyond} committed, not applied"
                raise Violation("I8", what)


def check_drained(world: World) -> None:
    """Everything that must hold once all is applied, all owned and all read."""
    for changelogs in world.views:
        _check_view(world, changelogs)


def _check_view(world: World, changelogs: Changelogs) -> None:
    view, stale = changelogs.view, changelogs.stale
    broken = {p for p in stale if succession.breaks_the_chain(changelogs[p])}
    refused = world.refused(changelogs)
    parts: list[PrefixTotals] = []
    cutoffs = [0]
    for partition, log in enumerate(changelogs.logs):
        if partition in broken:
            continue
        latest = committed_values(log)
        marker = json.loads(latest.pop(MARKER))
        latest.pop(BIRTH)
        cutoff = cutoff_of(marker)
        cutoffs.append(cutoff)
        if partition in refused and cutoff:
            # It was set aside while it was still adding up.
            latest = oracle.rolled_up(latest, cutoff)
        elif view.retention is not None and world.keep_days:
            _same("I21", f"cutoff of {log.topic} {partition}", cutoff, world.cutoff())
        expected = _expected(world, changelogs, partition, marker, latest, refused.get(partition))
        what = f"{log.topic} {partition}"
        _same("I2", what, latest, expected.expected(view, cutoff))
        _same("I6", f"counted by {what}", marker["counted"], expected.counted)
        # One view writes the quarantine, for all of them.
        bad = [] if changelogs.place else expected.bad
        _same("I6", f"quarantined by {what}", marker["quarantined"], len(bad))
        if not changelogs.place:
            _check_quarantine(world.quarantines[partition], bad)
        parts.append(expected)
        if partition not in refused or partition not in stale:
            _check_store(world, changelogs, partition)
    readers = [("reader", changelogs.reader)]
    if broken or world.clock % 4 == 0:
        # A good part of the time that a schedule takes.
        readers.append(("fresh reader", world.fresh_reader(changelogs)))
    for name, reader in readers:
        _same("I15", f"{name}: refuses by name", reader.has_refused, bool(broken))
        if broken:
            continue
        if not changelogs.place:
            totals, wanted = reader.totals(), oracle.totals(parts)
            surplus = [d for d in totals if totals[d][1] > wanted.get(d, ("", 0))[1]]
            _same("I4", f"{name}: readings beyond the oracle's", surplus, [])
            _same("I1 I2 I3 I9", name, totals, wanted)
            _same("I2", f"{name}: devices", reader.served.view.devices, len(wanted))
        rows, cutoff = oracle.rows(parts, view, max(cutoffs)), max(cutoffs)
        shown = reader.rows(reader.keys())
        shown = oracle.rolled_up(shown, cutoff) if cutoff else shown
        _same("I1 I2 I3 I9", f"{name} of {view.name}", shown, rows)
        offsets = [applied_offset(log) for log in changelogs.logs]
        _same("I7", f"{name}: offsets", reader.served.view.applied_offsets(), offsets)


def _expected(
    world: World,
    changelogs: Changelogs,
    partition: int,
    marker: dict[str, Any],
    rows: dict[bytes, bytes],
    refusal: PartitionRefusal | None,
) -> PrefixTotals:
    """Return what is to be counted: all that is there now, or of a refused partition what was.

    I16: a partition is refused only where what was counted is not there any more.
    """
    applied, view = marker["applied_offset"], changelogs.view
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
        is_all = changelogs.place or len(expected.bad) == marker["quarantined"]
        if is_all and expected.expected(view, cutoff_of(marker)) == rows:
            break
    return expected


def committed_values(log: SimLog) -> dict[bytes, bytes]:
    """Return the last committed value of each key that is not removed."""
    values: dict[bytes, bytes] = {}
    for batch in log.batches:
        if batch.is_committed():
            for record in batch.records:
                key = record.key or b""
                if record.value is None:
                    values.pop(key, None)
                else:
                    values[key] = record.value
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


def _check_store(world: World, changelogs: Changelogs, partition: int) -> None:
    """I7: the owner's store is the changelog."""
    store = dict(world.owner_store(changelogs, partition))
    written = int(store.pop(STORE_OFFSET))
    _same("I7", "a store's recovery", store.pop(STORE_RECOVERING, b""), b"")
    _same("I7", "partition of a store", store.pop(STORE_PARTITION), b"%d" % partition)
    if written >= changelogs[partition].end_offset:
        raise Violation("I7", f"store {partition} is written to {written}, beyond the changelog")
    _same("I7", f"store {partition}", store, committed_values(changelogs[partition]))


def _same(invariant: str, what: str, found: Any, expected: Any) -> None:
    if found != expected:
        raise Violation(invariant, f"{what}: {found}, not {expected}")
