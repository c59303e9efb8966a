"""The view `device_totals`: each device's exact sum and number of readings.

A row is a part-total: what one source partition adds to a device. Parts of a device are added by
readers, so keys and partitioners cannot make a total wrong. Key: the device_id in UTF-8; value:
format version, number of readings, canonical decimal. docs/CHANGELOG_FORMAT.md shows each.
"""

from __future__ import annotations

import decimal
import re
from collections.abc import Iterable, Sequence

from contract.decimals import EXACT, Number, canonical, from_canonical, sum_exactly
from contract.decoding import Reading
from contract.errors import CorruptRecord
from contract.quarter_sums import QuarterSums
from contract.view import Row, Update, View

#: Device -> [exact sum, number of readings]. A list, because folding changes it in place.
PartTotals = dict[str, list[Number]]

_VERSION = b"1"

#: Exactly what `encode_total` writes. Possessive: each row that is recovered or followed is held
#: to it, and looking back at the digits took half of that.
is_part_total = re.compile(
    rb"1 [1-9][0-9]{0,18}+ (?!-0\Z)-?(?:0|[1-9][0-9]*+)(?:\.[0-9]*[1-9])?"
).fullmatch


def fold(readings: Iterable[Reading], into: PartTotals) -> None:
    """Add readings to part-totals, exactly.

    Raises: decimal.Inexact if a sum would need more than 1,500 digits, which no sum of valid
    readings does.
    """
    with decimal.localcontext(EXACT):
        known = into.get
        for reading in readings:
            device_id = reading.device_id
            part = known(device_id)
            if part is None:
                into[device_id] = [reading.energy_consumed, 1]
            else:
                part[0] += reading.energy_consumed
                part[1] += 1


def add_cells(cells: QuarterSums, into: PartTotals) -> None:
    """Add readings that are folded by device, location and quarter; as `fold` adds them."""
    with decimal.localcontext(EXACT):
        for device_id, (_, total, readings, _, _) in cells.cells():
            part = into.get(device_id)
            if part is None:
                into[device_id] = [total, readings]
            else:
                part[0] += total
                part[1] += readings


def keys_of(deltas: PartTotals) -> list[bytes]:
    """Return the devices' keys in the store's order: code points sort as their bytes do."""
    return [device_id.encode() for device_id in sorted(deltas)]


def add_stored(stored: Iterable[tuple[bytes, bytes | None]], deltas: PartTotals) -> list[Update]:
    """Add deltas to the stored part-totals, exactly; returns the new rows.

    Shape: `stored` has every device of `deltas` once with its value, None for a new one; the
    rows have its order.
    Raises: CorruptRecord; KeyError or ValueError where the devices are not the same.
    """
    rows: list[Update] = []
    with decimal.localcontext(EXACT):
        for key, value in stored:
            total, readings = deltas[key.decode()]
            if value is not None:
                base, counted = decode_total(value)
                total += base
                readings += counted
            rows.append((key, encode_total(total, int(readings))))
    if len(rows) != len(deltas):
        raise ValueError(f"what is stored of {len(deltas) - len(rows)} devices is not told")
    return rows


def encode_total(total: Number, readings: int) -> bytes:
    """Write a part-total: version, number of readings, canonical decimal, split by spaces."""
    if type(total) is int:
        return b"1 %d %d" % (readings, total)
    return b"1 %d %b" % (readings, canonical(total).encode())


def decode_total(value: bytes) -> tuple[Number, int]:
    """Read a part-total; returns (exact total, number of readings).

    Raises: CorruptRecord.
    """
    try:
        version, readings, total = value.split(b" ")
        if version != _VERSION:
            raise ValueError(f"version {version!r}")
        # Almost all are integers, and `int` reads bytes as they are.
        if b"." in total:
            return from_canonical(total.decode("ascii")), int(readings)
        return int(total), int(readings)
    except (ValueError, ArithmeticError) as error:
        raise CorruptRecord(f"no part-total of ours: {value[:64]!r}") from error


def readings_of(rows: Iterable[Row]) -> int:
    """Return how many readings part-totals hold; half as long as decoding them takes."""
    return sum(int(value.split(b" ", 2)[1]) for _, value in rows)


def merge(parts: Sequence[bytes]) -> bytes:
    """Add the part-totals of one device. Raises: CorruptRecord."""
    if len(parts) == 1:
        return parts[0]
    decoded = [decode_total(part) for part in parts]
    return encode_total(
        sum_exactly(total for total, _ in decoded), sum(readings for _, readings in decoded)
    )


def name_row(key: bytes) -> dict[str, str]:
    """Name the device of a row."""
    return {"device_id": key.decode()}


DEVICE_TOTALS = View(
    name="device_totals",
    fold=fold,
    keys=keys_of,
    rows=add_stored,
    is_row=is_part_total,
    readings=readings_of,
    merge=merge,
    amount=decode_total,
    name_row=name_row,
    add_cells=add_cells,
    quarantines=True,
    has_bare_ids=True,
)
