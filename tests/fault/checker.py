"""Holds the changelog, the quarantine, the stores and the log against the oracle.

Plain json, fractions, rocksdict and confluent-kafka, and the tests' own slow reading of the
contract. Each number of a verdict must be 0.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import rocksdict

from tests.fault.fleet import READINGS, Oracle
from tests.fault.follower import Follower
from tests.fault.series_checker import (
    Cells,
    SeriesChangelog,
    new_cells,
    quarter_of,
    series_verdict,
)
from tests.kafka import Kafka
from tests.oracle import judge

QUARANTINE = "energy_consumption_quarantine"
TOTALS_STORES, SERIES_STORES = VIEWS = ("device_totals", "energy_series")
#: The stores of a view that are farthest, by partition.
Stores = dict[int, dict[bytes, bytes]]
OFFSET_KEY = b"__faust\0offset__"
PARTITION_KEY = b"\0partition"
RECOVERING_KEY = b"\0recovering"
PROBE_KEY = b"\0probe"


def totals_of(last: Iterable[dict[bytes, bytes]]) -> tuple[dict[str, Fraction], Counter[str]]:
    """Add the part-totals of all partitions: (exact totals, readings) by device."""
    totals: dict[str, Fraction] = defaultdict(Fraction)
    readings: Counter[str] = Counter()
    for part in last:
        for key, value in part.items():
            if key.startswith(b"\x00"):
                continue
            version, count, total = value.split(b" ")
            assert version == b"1", value
            totals[key.decode()] += Fraction(total.decode())
            readings[key.decode()] += int(count)
    return totals, readings


def verdict(
    kafka: Kafka,
    oracle: Oracle,
    follower: Follower,
    series: SeriesChangelog,
    stores: dict[str, Stores],
) -> dict[str, Any]:
    """Return the invariants by their id, each with the number that must be 0."""
    follower.settle()
    series.settle()
    totals, readings = totals_of(follower.last)
    log, places, bad = read_log(kafka)
    log_totals, log_readings = by_device(log)
    quarantined = read_quarantine(kafka)
    visible = Counter(partition for partition, _ in places)
    markers = follower.markers()
    # Sent and never answered: may be in the log once, and then counts.
    expected, counts = oracle.totals, oracle.counts
    if oracle.unknown or oracle.refused or oracle.others_publish:
        expected, counts = log_totals, log_readings
    devices = set(totals) | set(expected) | set(log_totals)
    return {
        "I1": str(sum(totals.values(), Fraction()) - sum(expected.values(), Fraction())),
        "I2": sum(
            totals.get(each) != expected.get(each)
            or totals.get(each) != log_totals.get(each)
            or readings[each] != counts[each]
            for each in devices
        ),
        "I3": len((set(oracle.good) | oracle.bad) - places),
        "I4": sum(max(0, readings[each] - counts[each]) for each in devices),
        "I6": sum(
            abs(visible[p] - marker["counted"] - marker["quarantined"])
            for p, marker in markers.items()
        )
        + sum(quarantined[place] != 1 for place in bad | set(quarantined) | oracle.bad),
        "I7": sum(
            differing_keys(store, changelog[partition])
            for view, changelog in ((TOTALS_STORES, follower.last), (SERIES_STORES, series.last))
            for partition, store in stores[view].items()
        ),
        "I8": len(follower.ahead),
        **series_verdict(series, follower.last, log),
        "samples": follower.samples,
        "acknowledged": oracle.acknowledged(),
        "quarantined": len(bad),
        "unknown": oracle.unknown + len(oracle.refused),
    }


def broken(found: dict[str, Any]) -> dict[str, Any]:
    """Those of the invariants that do not hold."""
    return {name: it for name, it in found.items() if name[0] == "I" and it not in (0, "0")}


def read_log(kafka: Kafka) -> tuple[Cells, set[Any], set[Any]]:
    """Fold the readings log slowly, once: quarters, all places, places of bad records."""
    cells = new_cells()
    places, bad = set(), set()
    for record in kafka.each(READINGS):
        place = (record.partition(), record.offset())
        places.add(place)
        found = judge(record.value())
        if found is None:
            bad.add(place)
        else:
            quarter = quarter_of(found.timestamp)
            cell = cells[place[0], found.device_id, found.location, quarter]
            cell[0] += found.energy
            cell[1] += 1
    return cells, places, bad


def by_device(cells: Cells) -> tuple[dict[str, Fraction], Counter[str]]:
    """Add up quarters: (exact totals, readings) by device."""
    totals: dict[str, Fraction] = defaultdict(Fraction)
    readings: Counter[str] = Counter()
    for (_, device, _, _), (energy, count) in cells.items():
        totals[device] += energy
        readings[device] += count
    return totals, readings


def read_quarantine(
    kafka: Kafka, topic: str = QUARANTINE, view_version: int = 1
) -> Counter[tuple[int, int]]:
    """How often each origin is in the quarantine of a view version; each has its own."""
    found: Counter[tuple[int, int]] = Counter()
    for record in kafka.each(topic):
        row = json.loads(record.value())
        assert row["__partition"] == record.partition(), "from partition p to partition p"
        if dict(record.headers() or ())["view_version"] == b"%d" % view_version:
            found[row["__partition"], row["__offset"]] += 1
    return found


def newest_stores(directories: Iterable[Path], view: str) -> Stores:
    """The stores of each partition that are farthest, of all stopped workers, of version 1."""
    newest: dict[int, tuple[int, dict[bytes, bytes]]] = {}
    for directory in directories:
        for path in sorted(directory.glob(f"energy-v1/**/{view}-*.db")):
            options = rocksdict.Options(raw_mode=True)
            try:
                database = rocksdict.Rdict(str(path), options=options)
            except Exception:
                # Damaged by a test since its worker lost the partition: nobody has opened it yet.
                continue
            held = dict(database.items())
            database.close()
            if OFFSET_KEY not in held:
                continue  # as above, but for a damage that RocksDB opens
            offset = int(held.pop(OFFSET_KEY, b"-1"))
            partition = int(path.stem.rpartition("-")[2])
            assert not held or held.pop(PARTITION_KEY) == b"%d" % partition
            held.pop(RECOVERING_KEY, None)
            if offset > newest.get(partition, (-1, {}))[0]:
                newest[partition] = (offset, held)
    return {partition: held for partition, (_, held) in newest.items()}


def differing_keys(store: dict[bytes, bytes], last: dict[bytes, bytes]) -> int:
    # A probe carries nothing: a store that ends before the last one is as far as one that has it.
    keys = (store.keys() | last.keys()) - {PROBE_KEY}
    return sum(store.get(key) != last.get(key) for key in keys)
