"""Holds the series' changelog against the log and the totals, quarter by quarter.

Plain json, datetime, fractions and confluent-kafka; each row is read by the lines below, and the
log by the tests' own slow reading of the contract.
"""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from functools import lru_cache
from typing import Any

from confluent_kafka import Consumer, Message, TopicPartition

from tests.fault.follower import MARKER_KEY
from tests.kafka import Kafka

SERIES = "energy-v1-energy_series-changelog"
#: It commits after 0.8 s at the latest, and the machine may be busy.
BEHIND_SECONDS = 15.0
_QUARTER_SECONDS = 900

Cell = tuple[int, str, str, int]
"""(source partition, device, location, quarter of an hour since 1970, or BEFORE)."""
#: In place of a quarter: what retention has added up.
BEFORE = -1
#: Exact sum and number of readings of each cell.
Cells = dict[Cell, list[Any]]


def new_cells() -> Cells:
    """Nothing in any quarter."""
    return defaultdict(lambda: [Fraction(), 0])


@lru_cache(maxsize=100_000)
def quarter_of(timestamp: str) -> int:
    """Return the quarter of a valid timestamp: its instant, without the fraction."""
    instant = datetime.fromisoformat(timestamp[:19]).replace(tzinfo=UTC)
    rest = timestamp[19:].lstrip(".0123456789")
    if rest not in ("", "Z"):
        offset = timedelta(hours=int(rest[1:3]), minutes=int(rest[4:]))
        instant -= offset if rest[0] == "+" else -offset
    return int(instant.timestamp()) // _QUARTER_SECONDS


def cells_of(partition: int, rows: dict[bytes, bytes]) -> Cells:
    """Read the rows of a partition, an hour each, as quarters; and what is before them."""
    cells = new_cells()
    for key, value in rows.items():
        if key.startswith(b"\x00"):
            continue
        device, hour, location = key.decode().split("\x00", 2)
        version, _first, _last, *parts = value.decode().split(" ")
        assert version == "1", value
        if hour == "-------":
            readings, energy = parts
            cells[partition, device, location, BEFORE] = [Fraction(energy), int(readings)]
            continue
        for place in range(4):
            readings = int(parts.pop(0))
            if readings:
                cells[partition, device, location, 4 * int(hour) + place] = [
                    Fraction(parts.pop(0)),
                    readings,
                ]
        assert not parts, value
    return cells


class SeriesChangelog:
    """The newest value of each key of the series, read_committed."""

    def __init__(self, kafka: Kafka, partitions: int) -> None:
        self.last: list[dict[bytes, bytes]] = [{} for _ in range(partitions)]
        self._kafka = kafka
        self._read_to = [0] * partitions

    def applied(self) -> list[int]:
        """Return what the markers say is applied, -1 where nothing is."""
        return [
            json.loads(rows.get(MARKER_KEY, b"{}")).get("applied_offset", -1) for rows in self.last
        ]

    def reach(self, offsets: Mapping[int, int], seconds: float = BEHIND_SECONDS) -> None:
        """Read until the series has come to these offsets, by partition: as far as the totals."""
        consumer = self._kafka.consumer()
        try:
            consumer.assign([TopicPartition(SERIES, p, at) for p, at in enumerate(self._read_to)])
            deadline = time.monotonic() + seconds
            while any(self.applied()[p] != offset for p, offset in offsets.items()):
                if self._read(consumer):
                    deadline = time.monotonic() + seconds
                assert time.monotonic() < deadline, (
                    f"the series is at {self.applied()}, the totals at {offsets}"
                )
        finally:
            consumer.close()

    def settle(self) -> None:
        """Read it as it is at the end: a worker that takes over writes too (a probe, its name)."""
        for record in self._kafka.each(SERIES):
            self._take(record)

    def rows_added_up(self) -> int:
        """Return how many rows of hours became old, by the markers."""
        told = [json.loads(rows.get(MARKER_KEY, b"{}")).get("rolled_up") for rows in self.last]
        return sum(each["rows"] for each in told if each)

    def _read(self, consumer: Consumer) -> int:
        records = [r for r in consumer.consume(10_000, timeout=0.1) if r.error() is None]
        for record in records:
            self._take(record)
            self._read_to[record.partition()] = record.offset() + 1
        return len(records)

    def _take(self, record: Message) -> None:
        rows = self.last[record.partition()]
        if record.value() is None:
            rows.pop(record.key(), None)
        else:
            rows[record.key()] = record.value()


def series_verdict(
    series: SeriesChangelog, totals: Sequence[dict[bytes, bytes]], log: Cells
) -> dict[str, int]:
    """Return the invariants of the series, each with the number that must be 0."""
    cells = new_cells()
    for partition, rows in enumerate(series.last):
        cells |= cells_of(partition, rows)
    cutoffs = [4 * cutoff_of(rows) for rows in series.last]
    found, log = as_of(cells, cutoffs), as_of(log, cutoffs)
    return {
        # Each quarter has the sum of the readings in the log, and their number; there is no other.
        "I18": sum(found.get(cell) != log.get(cell) for cell in found.keys() | log.keys()),
        "I19": off_balance(cells, totals) + miscounted(series.last, cells),
        "quarters": len(cells),
    }


def cutoff_of(rows: dict[bytes, bytes]) -> int:
    """Return the hour before which a partition's marker says that all is added up; 0: none."""
    said = json.loads(rows.get(MARKER_KEY, b"{}")).get("rolled_up")
    return int(said["cutoff"]) if said else 0


def as_of(cells: Cells, cutoffs: Sequence[int]) -> Cells:
    """Add up what is older than its partition's cutoff, a quarter: it is in no quarter for sure."""
    found = new_cells()
    for (partition, device, location, quarter), (energy, readings) in cells.items():
        is_old = quarter < cutoffs[partition]
        cell = found[partition, device, location, BEFORE if is_old else quarter]
        cell[0] += energy
        cell[1] += readings
    return found


def off_balance(cells: Cells, totals: Sequence[dict[bytes, bytes]]) -> int:
    """How many devices have another total than their quarters together, in each partition."""
    books: dict[tuple[int, str], list[Any]] = defaultdict(lambda: [Fraction(), 0])
    for (partition, device, _, _), (energy, readings) in cells.items():
        book = books[partition, device]
        book[0] += energy
        book[1] += readings
    ours: dict[tuple[int, str], list[Any]] = {}
    for partition, rows in enumerate(totals):
        for key, value in rows.items():
            if not key.startswith(b"\x00"):
                _, count, total = value.split(b" ")
                ours[partition, key.decode()] = [Fraction(total.decode()), int(count)]
    return sum(books.get(each) != ours.get(each) for each in books.keys() | ours.keys())


def miscounted(last: Iterable[dict[bytes, bytes]], cells: Cells) -> int:
    """How many readings the markers count more or less than the rows hold."""
    held: Counter[int] = Counter()
    for (partition, *_), (_, readings) in cells.items():
        held[partition] += readings
    counted = [json.loads(rows[MARKER_KEY])["counted"] for rows in last]
    return sum(abs(held[partition] - count) for partition, count in enumerate(counted))
