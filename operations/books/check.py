"""Checks that the books balance: the series adds up to the totals, to the last digit.

Reads: both changelogs, committed records only; asks no worker and no API. Writes: rows on disk
below ENERGY_HOME, gone at the end. In each partition both views are brought to one applied offset,
for only there they must agree; rows of a device are next to each other in both, so memory holds
one device at a time, and the names of all.

    for each device:    its total                   = the sum over its locations and hours
    for each partition: what the marker has counted = the readings of all rows, in each view

What is true of each device is true of all of a place, and of the fleet.
"""

from __future__ import annotations

import decimal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from contract.decimals import EXACT, Number, canonical
from contract.device_totals import DEVICE_TOTALS
from contract.energy_series import ENERGY_SERIES
from contract.errors import CorruptRecord
from contract.view import Row, View
from contract.view_versions import ViewVersion
from contract.views import views_of
from kafka_io.cluster import Cluster
from kafka_io.log_reader import reader
from operations.books.findings import Account, Apart, Books, Imbalance, Miscount
from operations.books.sums import Sum, sums_of, totals_of
from operations.changelog.part import ChangelogPart, meet
from operations.changelog.sorted_rows import SortedRows, side_by_side, sorted_rows
from operations.errors import OperationError
from operations.progress import OnProgress, no_progress
from operations.views.birth import verify_births

_EXAMPLES = 5
_TELL_EVERY_ROWS = 5_000


class NoSeries(OperationError):
    """The view version has no series to compare its totals with."""


class _Way:
    """How far a check is: each record is read, and added up where it is the newest of its key.

    Shape: `lengths` has the records of both changelogs, by partition.
    """

    def __init__(self, lengths: list[int], on_progress: OnProgress) -> None:
        self._lengths = lengths
        self._on_progress = on_progress
        self._done = 0

    def done_of(self, partition: int) -> int:
        """Return how much of a partition is done."""
        return max(0, self._done - 2 * sum(self._lengths[:partition]))

    def at(self, partition: int, done: int) -> None:
        """Take in how much of a partition is done; never less than before."""
        total = 2 * sum(self._lengths)
        done += 2 * sum(self._lengths[:partition])
        self._done = min(max(self._done, done), total)
        self._on_progress(self._done, total)


class _Side(NamedTuple):
    """One view of a partition."""

    view: View
    part: ChangelogPart
    rows: SortedRows


def check_books(
    cluster: Cluster,
    home: Path,
    version: ViewVersion,
    *,
    wait_seconds: float = 30.0,
    on_progress: OnProgress = no_progress,
) -> Books:
    """Hold the series of a view version against its totals.

    `wait_seconds`: for how long, all partitions together, one view waits for the other.
    `on_progress` gets how many records are read and rows added up, and of at most how many.
    Raises: NoSeries; Refused; CorruptRecord where a record is none of ours; NotReadable.
    """
    verify_births(cluster, version)
    if ENERGY_SERIES not in views_of(version.rules_id):
        raise NoSeries(
            f"view version {version.view_version} has no {ENERGY_SERIES.name} to compare its"
            " totals with; `energy replay start --series on` builds a version with one"
        )
    check = _Check(cluster, home, version, on_progress)
    left = wait_seconds
    for partition in range(version.partitions):
        left -= check.partition(partition, left)
    return check.result()


class _Check:
    """One check, partition by partition."""

    def __init__(
        self, cluster: Cluster, home: Path, version: ViewVersion, on_progress: OnProgress
    ) -> None:
        self._cluster = cluster
        self._home = home
        self._version = version
        self._books = Books(version.view_version)
        self._devices: set[str] = set()
        self._locations: set[str] = set()
        self._fleet: Number = 0
        names = [self._changelog(view) for view in (DEVICE_TOTALS, ENERGY_SERIES)]
        self._firsts = {n: cluster.first_offsets(n, version.partitions) for n in names}
        ends = {n: cluster.end_offsets(n, version.partitions) for n in names}
        self._way = _Way(
            [
                sum(ends[name][partition] - self._firsts[name][partition] for name in names)
                for partition in range(version.partitions)
            ],
            on_progress,
        )

    def partition(self, partition: int, seconds: float) -> float:
        """Compare a partition; returns the seconds that one view waited for the other."""
        with (
            reader(self._cluster.settings) as totals_reader,
            reader(self._cluster.settings) as series_reader,
            sorted_rows(self._home) as totals_rows,
            sorted_rows(self._home) as series_rows,
        ):
            sides: list[_Side] = []
            read = 0
            # The series first: it is longer to read, and the totals are ahead of it.
            for view, consumer, rows in (
                (ENERGY_SERIES, series_reader, series_rows),
                (DEVICE_TOTALS, totals_reader, totals_rows),
            ):
                name = self._changelog(view)
                on_offset = partial(self._read, partition, read - self._firsts[name][partition])
                part = ChangelogPart(consumer, (name, partition), rows, on_offset=on_offset)
                part.read_to_end()
                read = self._way.done_of(partition)
                sides.append(_Side(view, part, rows))
            series, totals = sides
            began = time.monotonic()
            have_met = meet(totals.part, series.part, began + seconds)
            waited = time.monotonic() - began
            self._books.applied_offsets.append(totals.part.applied_offset)
            if have_met:
                self._compare(partition, totals, series)
            else:
                offsets = totals.part.applied_offset, series.part.applied_offset
                self._books.not_compared.append(Apart(partition, *offsets))
        return waited

    def result(self) -> Books:
        """Return what was found."""
        books = self._books
        books.devices, books.locations = len(self._devices), len(self._locations)
        books.sum = canonical(self._fleet)
        books.is_balanced = not (books.differing or books.miscounts or books.not_compared)
        return books

    def _changelog(self, view: View) -> str:
        return view.changelog(self._version.view_version).name

    def _read(self, partition: int, before: int, offset: int) -> None:
        self._way.at(partition, before + offset + 1)

    def _compare(self, partition: int, totals: _Side, series: _Side) -> None:
        counted = {DEVICE_TOTALS: 0, ENERGY_SERIES: 0}
        with decimal.localcontext(EXACT):
            pairs = side_by_side(
                totals_of(self._judged(partition, totals)),
                sums_of(self._judged(partition, series), self._locations),
            )
            for device_id, total, summed in pairs:
                self._devices.add(device_id)
                if total is not None:
                    self._fleet += total.total
                    counted[DEVICE_TOTALS] += total.readings
                if summed is not None:
                    counted[ENERGY_SERIES] += summed.readings
                if total != summed:
                    self._note(partition, device_id, total, summed)
        self._books.readings += counted[DEVICE_TOTALS]
        self._books.miscounts += [
            Miscount(partition, side.view.name, side.part.marker.counted, counted[side.view])
            for side in (totals, series)
            if side.part.marker.counted != counted[side.view]
        ]

    def _note(self, partition: int, device_id: str, total: Sum | None, summed: Sum | None) -> None:
        self._books.differing += 1
        if len(self._books.differences) < _EXAMPLES:
            sides = (_account(side) for side in (total, summed))
            self._books.differences.append(Imbalance(partition, device_id, *sides))

    def _judged(self, partition: int, side: _Side) -> Iterator[Row]:
        """Go through rows that the view can have written. Raises: CorruptRecord."""
        read = self._way.done_of(partition)
        for number, (key, value) in enumerate(side.rows.items(), start=1):
            if number % _TELL_EVERY_ROWS == 0:
                self._way.at(partition, read + number)
            if not side.view.is_row(value):
                raise CorruptRecord(
                    f"{self._changelog(side.view)}, partition {partition}: no row of"
                    f" {side.view.name}: {key[:64]!r}: {value[:64]!r}; build a new view version:"
                    " energy replay start"
                )
            yield key, value


def _account(side: Sum | None) -> Account | None:
    return None if side is None else Account(canonical(side.total), side.readings)
