"""Readings added up by device, location and quarter of an hour: the fold of `energy_series`.

Runs for each reading, so it is cheap where readings come in order of time: then all readings of a
slice are in one quarter, and most devices stay where they are.
"""

from __future__ import annotations

import decimal
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from operator import attrgetter
from typing import Any

from contract.decimals import EXACT
from contract.decoding import Reading

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_QUARTER = timedelta(minutes=15)

#: `2025-04-30 10:11:21`, or with a final Z: such a text is UTC as it stands.
_PLAIN_CHARACTERS = len("2025-04-30 10:11:21Z")
_SECOND_CHARACTERS = len("2025-04-30 10:11:21")
_MINUTE_CHARACTERS = len("2025-04-30 10:11")
_DATE_CHARACTERS = len("2025-04-30 ")
_STAMPS_KEPT = 65_536

#: What is folded of a device, a location and a quarter, changed in place: location, exact sum,
#: number of readings, first and last timestamp (as text, in UTC).
Cell = list[Any]


class QuarterSums:
    """What is folded and not yet written, by quarter since 1970 and device.

    `elsewhere` has the cells of devices that were at another place too in a quarter. What is in
    hours before `cutoff` is added up in rows `before`, and so are old stored rows: `before` has
    these by key, `removed` the keys that they had.
    """

    __slots__ = ("before", "cutoff", "elsewhere", "places", "quarters", "removed", "rows")

    def __init__(self) -> None:
        self.quarters: dict[int, dict[str, Cell]] = {}
        self.elsewhere: dict[tuple[int, str, str], Cell] = {}
        #: Each location once: its cells share the text.
        self.places: dict[str, str] = {}
        self.cutoff = 0
        self.before: dict[bytes, list[Any]] = {}
        self.removed: list[bytes] = []
        #: What the view has made of it, once folding into it has ended.
        self.rows: dict[bytes, Any] | None = None

    def __len__(self) -> int:
        """Return the number of cells: rows are as many, or down to a fourth of that."""
        return sum(map(len, self.quarters.values())) + len(self.elsewhere)

    def cells(self) -> Iterator[tuple[str, Cell]]:
        """Yield each cell with its device."""
        for by_device in self.quarters.values():
            yield from by_device.items()
        for (_, device_id, _), cell in self.elsewhere.items():
            yield device_id, cell

    def clear(self) -> None:
        """Forget all."""
        self.quarters.clear()
        self.elsewhere.clear()
        self.places.clear()
        # Another one: it was the rows.
        self.before = {}
        self.removed.clear()
        self.rows = None


_timestamp_of = attrgetter("timestamp")


def fold(readings: Iterable[Reading], into: QuarterSums) -> None:
    """Add readings to cells, exactly. Unit: 0.3 us a reading in order of time, 0.6 us in any."""
    readings = list(readings)
    if readings and not fold_quarter(readings, into):
        with decimal.localcontext(EXACT):
            _fold_any(readings, into)


def fold_quarter(readings: Sequence[Reading], into: QuarterSums) -> bool:
    """Add readings of one quarter or of two that follow, as most are that come in order of time.

    Others, and none at all, are left alone, and False is returned.
    """
    if not readings:
        return False
    stamps = list(map(_timestamp_of, readings))
    # Many readings have the same text, and cells keep one for all: a text of its own for each
    # would have to come from memory again with the next reading of its device.
    shared: dict[str, str] = {}
    kept = list(map(shared.setdefault, stamps, stamps))
    lowest, highest = min(shared), max(shared)
    # Whatever sorts between two texts begins as both begin: with this date, and a space.
    if lowest[:_DATE_CHARACTERS] != highest[:_DATE_CHARACTERS] or lowest[10] != " ":
        return False
    if len("".join(shared)) != _SECOND_CHARACTERS * len(shared) and (
        len(max(shared, key=len)) > _PLAIN_CHARACTERS
    ):
        return False
    quarter = quarter_of(lowest[:_MINUTE_CHARACTERS])
    following = quarter_of(highest[:_MINUTE_CHARACTERS])
    if following - quarter > 1:
        return False
    with decimal.localcontext(EXACT):
        if following == quarter:
            _fold_one_quarter(zip(readings, kept, strict=True), quarter, into)
        else:
            edge = _beginning(following)
            found = list(zip(readings, kept, strict=True))
            _fold_one_quarter([f for f in found if f[1] < edge], quarter, into)
            _fold_one_quarter([f for f in found if f[1] >= edge], following, into)
    return True


def add_cells(cells: QuarterSums, into: QuarterSums) -> None:
    """Add what is folded already; `cells` stays as it is."""
    with decimal.localcontext(EXACT):
        for quarter, by_device in cells.quarters.items():
            known = into.quarters.setdefault(quarter, {})
            for device_id, cell in by_device.items():
                if device_id not in known:
                    known[device_id] = cell.copy()
                elif known[device_id][0] == cell[0]:
                    _add_cell(known[device_id], cell)
                else:
                    _add_elsewhere((quarter, device_id, cell[0]), cell, into)
        for key, cell in cells.elsewhere.items():
            _add_elsewhere(key, cell, into)


def _add_elsewhere(key: tuple[int, str, str], cell: Cell, into: QuarterSums) -> None:
    known = into.elsewhere.get(key)
    if known is None:
        into.elsewhere[key] = cell.copy()
    else:
        _add_cell(known, cell)


def _add_cell(to: Cell, other: Cell) -> None:
    to[1] += other[1]
    to[2] += other[2]
    to[3] = min(to[3], other[3])
    to[4] = max(to[4], other[4])


def _fold_one_quarter(
    readings: Iterable[tuple[Reading, str]], quarter: int, into: QuarterSums
) -> None:
    """Add readings of a quarter, each with its timestamp."""
    cells = into.quarters.setdefault(quarter, {})
    known = cells.get
    places = into.places
    for reading, stamp in readings:
        device_id = reading.device_id
        cell = known(device_id)
        if cell is None:
            place = reading.location
            place = places.setdefault(place, place)
            cells[device_id] = [place, reading.energy_consumed, 1, stamp, stamp]
            continue
        location, total, count, first, last = cell
        if location == reading.location:
            cell[1] = total + reading.energy_consumed
            cell[2] = count + 1
            if stamp > last:
                cell[4] = stamp
            elif stamp < first:
                cell[3] = stamp
        else:
            _fold_elsewhere(reading, quarter, stamp, into)


def _fold_any(readings: list[Reading], into: QuarterSums) -> None:
    for reading in readings:
        device_id, stamp = reading.device_id, reading.timestamp
        if len(stamp) > _PLAIN_CHARACTERS or stamp[10] != " ":
            stamp = _plain(stamp)
        quarter = quarter_of(stamp[:_MINUTE_CHARACTERS])
        cells = into.quarters.get(quarter)
        if cells is None:
            cells = into.quarters[quarter] = {}
        cell = cells.get(device_id)
        if cell is None:
            cells[device_id] = [reading.location, reading.energy_consumed, 1, stamp, stamp]
        elif cell[0] == reading.location:
            _add(cell, reading, stamp)
        else:
            _fold_elsewhere(reading, quarter, stamp, into)


def _fold_elsewhere(reading: Reading, quarter: int, stamp: str, into: QuarterSums) -> None:
    key = quarter, reading.device_id, reading.location
    cell = into.elsewhere.get(key)
    if cell is None:
        into.elsewhere[key] = [reading.location, reading.energy_consumed, 1, stamp, stamp]
    else:
        _add(cell, reading, stamp)


def _add(cell: Cell, reading: Reading, stamp: str) -> None:
    cell[1] += reading.energy_consumed
    cell[2] += 1
    cell[3] = min(cell[3], stamp)
    cell[4] = max(cell[4], stamp)


@lru_cache(maxsize=_STAMPS_KEPT)
def quarter_of(stamp: str) -> int:
    """Return the quarter since 1970 of a minute as text, in UTC: `2025-04-30 10:11`."""
    return (datetime.fromisoformat(stamp).replace(tzinfo=UTC) - _EPOCH) // _QUARTER


@lru_cache(maxsize=_STAMPS_KEPT)
def _beginning(quarter: int) -> str:
    """Return the minute that a quarter begins with, as `quarter_of` reads it."""
    return f"{_EPOCH + quarter * _QUARTER:%Y-%m-%d %H:%M}"


def _plain(timestamp: str) -> str:
    """Write a valid timestamp of any form as `2025-04-30 10:11:21`, in UTC."""
    moment = datetime.fromisoformat(timestamp)
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC)
    return moment.isoformat(" ", "seconds")[:19]


def second_of(stamp: str) -> int:
    """Return the second of the hour."""
    return _second(stamp[14:19])


@cache
def _second(minute_and_second: str) -> int:
    return 60 * int(minute_and_second[:2]) + int(minute_and_second[3:])
