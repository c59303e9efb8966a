"""The view `energy_series`: for each device, location and quarter of an hour its exact sum.

A row is an hour of a device at a location, as one source partition adds to it: four quarters,
each with its number of readings and exact sum, and the first and last second that has a reading.
Hours are UTC, of the reading's own timestamp, the fraction cut. Small rows, because one is
rewritten with each commit while its hour is open; readers put days together. What is older than
a cutoff is added up in one row `before` of a device at a location. The bytes of both are in
contract/hour_rows.py and contract/before_rows.py.
"""

from __future__ import annotations

import decimal
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from contract.before_rows import (
    Before,
    add_before,
    as_before,
    cutoff_at,
    encode_before,
    flat_row,
    is_row,
    key_before,
    look_on,
    rolled_up,
)
from contract.decimals import EXACT, Number, sum_exactly
from contract.hour_rows import (
    BEFORE,
    QUARTERS_OF_AN_HOUR,
    SECONDS_OF_AN_HOUR,
    Flat,
    HourKey,
    add_flat,
    add_quarter,
    decode_key,
    encode_flat,
    encode_key,
    encode_quarter,
)
from contract.quarter_sums import Cell, QuarterSums, add_cells, fold, second_of
from contract.view import Retention, Row, Update, View

#: Of a row `before`, as it is added up; an hour's is longer.
_BEFORE_PARTS = len(Before._fields)


#: What cells change of a row: a cell and its place in the hour, where it is the only one, as most
#: are that come in order of time; else a row to be added.
Change = Flat | tuple[int, Cell]


class _Keys(dict[str, bytes]):
    """Ends of keys of an hour, by location: most locations have many devices."""

    def __init__(self, hour: int) -> None:
        super().__init__()
        self._hour = b"\0%07d\0" % hour

    def __missing__(self, location: str) -> bytes:
        self[location] = end = self._hour + location.encode()
        return end


class _Seconds(dict[str, int]):
    """Seconds of the hour, by timestamp: cells that are folded in order of time share them."""

    def __missing__(self, stamp: str) -> int:
        self[stamp] = second = second_of(stamp)
        return second


def _rows(cells: QuarterSums) -> dict[bytes, Change]:
    """Return what the cells change, by key; made once."""
    if cells.rows is None:
        with decimal.localcontext(EXACT):
            cells.rows = _rows_of(cells)
    return cells.rows


def _rows_of(cells: QuarterSums) -> dict[bytes, Change]:
    # Only hours before the cutoff meet what is there already.
    rows: dict[bytes, Change] = cells.before  # type: ignore[assignment]
    for quarter, by_device in cells.quarters.items():
        hour, place = divmod(quarter, QUARTERS_OF_AN_HOUR)
        if hour < cells.cutoff:
            for device_id, cell in by_device.items():
                _put_before(cells.before, hour, device_id, cell)
            continue
        ends = _Keys(hour)
        for device_id, cell in by_device.items():
            key = device_id.encode() + ends[cell[0]]
            if key in rows:
                _put_in_hour(rows, key, place, cell)
            else:
                rows[key] = place, cell
    for (quarter, device_id, location), cell in cells.elsewhere.items():
        hour, place = divmod(quarter, QUARTERS_OF_AN_HOUR)
        if hour < cells.cutoff:
            _put_before(cells.before, hour, device_id, cell)
        else:
            _put_in_hour(rows, encode_key(HourKey(device_id, hour, location)), place, cell)
    return rows


def _put_before(rows: dict[bytes, Flat], hour: int, device_id: str, cell: Cell) -> None:
    location, total, readings, first, last = cell
    began = hour * SECONDS_OF_AN_HOUR
    flat = [began + second_of(first), began + second_of(last), readings, total]
    add_before(rows, encode_key(HourKey(device_id, BEFORE, location)), flat)


def _put_in_hour(rows: dict[bytes, Change], key: bytes, place: int, cell: Cell) -> None:
    known = rows.get(key)
    if known is None:
        rows[key] = place, cell
        return
    if isinstance(known, tuple):
        known = rows[key] = _flat(*known)
    add_flat(known, _flat(place, cell))


def _flat(place: int, cell: Cell) -> Flat:
    """Return the row that a cell alone makes."""
    _, total, readings, first, last = cell
    flat: Flat = [second_of(first), second_of(last), 0, 0, 0, 0, 0, 0, 0, 0]
    flat[2 + 2 * place : 4 + 2 * place] = readings, total
    return flat


def _encode(flat: Flat) -> bytes:
    return encode_before(Before(*flat)) if len(flat) == _BEFORE_PARTS else encode_flat(flat)


def keys_of(deltas: QuarterSums) -> list[bytes]:
    """Return the keys of the rows that the cells change, in the store's order."""
    return sorted(_rows(deltas))


def add_stored(stored: Iterable[tuple[bytes, bytes | None]], deltas: QuarterSums) -> list[Update]:
    """Add cells to the stored rows, exactly; returns the new rows in that order, then the removed.

    Raises: CorruptRecord; KeyError or ValueError where the rows are not those of the cells.
    """
    known = _rows(deltas)
    rows: list[Update] = []
    seconds = _Seconds()
    with decimal.localcontext(EXACT):
        for key, value in stored:
            change = known[key]
            if isinstance(change, tuple):
                place, (_, total, readings, first, last) = change
                quarter = seconds[first], seconds[last], readings, total
                if value is None:
                    rows.append((key, encode_quarter(place, quarter)))
                    continue
                row = add_quarter(value, place, quarter)
                if row is not None:
                    rows.append((key, row))
                    continue
                change = _flat(*change)
            if value is not None:
                add_flat(change, flat_row(value))
            rows.append((key, _encode(change)))
    if len(rows) != len(known):
        raise ValueError(f"what is stored of {len(known) - len(rows)} rows is not told")
    rows += [(key, None) for key in deltas.removed]
    return rows


def cut(deltas: QuarterSums, cutoff: int) -> None:
    """Have cells of hours before the cutoff added up in rows `before`."""
    deltas.cutoff = cutoff


def take_old(rows: Iterable[Row], deltas: QuarterSums) -> None:
    """Add up stored rows of hours in rows `before`, and remove them. Raises: CorruptRecord."""
    with decimal.localcontext(EXACT):
        for key, value in rows:
            flat = as_before(key, value)
            if flat is not None:
                add_before(deltas.before, key_before(key), flat)
            deltas.removed.append(key)


def readings_of(rows: Iterable[Row]) -> int:
    """Return how many readings rows hold."""
    return sum(sum(flat_row(value)[2::2]) for _, value in rows)


def merge(parts: Sequence[bytes]) -> bytes:
    """Add the parts that source partitions have of one row. Raises: CorruptRecord."""
    if len(parts) == 1:
        return parts[0]
    first, *others = map(flat_row, parts)
    with decimal.localcontext(EXACT):
        for each in others:
            add_flat(first, each)
    return _encode(first)


def amount(value: bytes) -> tuple[Number, int]:
    """Return exact sum and number of readings of a row. Raises: CorruptRecord."""
    flat = flat_row(value)
    return sum_exactly(flat[3::2]), sum(flat[2::2])


def name_row(key: bytes) -> dict[str, str]:
    """Name the device, location and hour of a row. Raises: CorruptRecord."""
    device_id, hour, location = decode_key(key)
    if hour == BEFORE:
        return {"device_id": device_id, "location": location, "hour": "before"}
    began = datetime.fromtimestamp(hour * SECONDS_OF_AN_HOUR, UTC)
    return {"device_id": device_id, "location": location, "hour": f"{began:%Y-%m-%dT%H:%MZ}"}


ENERGY_SERIES = View(
    name="energy_series",
    fold=fold,
    keys=keys_of,
    rows=add_stored,
    is_row=is_row,
    readings=readings_of,
    merge=merge,
    amount=amount,
    name_row=name_row,
    add_cells=add_cells,
    new_deltas=QuarterSums,
    commit_seconds=0.8,
    retention=Retention(cutoff_at, cut, look_on, take_old, rolled_up),
)
