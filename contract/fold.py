"""Part-totals, and folding readings into them: exact, and independent of order.

A part-total is what one source partition adds to a device: its exact sum and its number of
readings. Part-totals of a device are added by readers, so keys and partitioners cannot make
a total wrong.
"""

from __future__ import annotations

import decimal
from collections.abc import Iterable

from contract.changelog import decode_total, encode_total
from contract.decimals import EXACT, Number
from contract.decoding import Reading

#: Device -> [exact sum, number of readings]. A list, because folding changes it in place.
PartTotals = dict[str, list[Number]]

#: Names the rules that made a total: validator, fold and codec. A change of any of them that
#: can change a total or its bytes is a new id; a view version born under another id is not
#: touched (the fix is a replay).
RULES_ID = "1"


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


def add_stored(
    stored: Iterable[tuple[str, bytes | None]], deltas: PartTotals
) -> list[tuple[bytes, bytes]]:
    """Add deltas to the stored part-totals, exactly; returns the new changelog records.

    Shape: `stored` has every device of `deltas` once with its value, None for a new one; the
    records have its order.
    Raises: CorruptRecord; KeyError or ValueError where the devices are not the same.
    """
    records: list[tuple[bytes, bytes]] = []
    with decimal.localcontext(EXACT):
        for device_id, value in stored:
            total, readings = deltas[device_id]
            if value is not None:
                base, counted = decode_total(value)
                total += base
                readings += counted
            records.append((device_id.encode(), encode_total(total, int(readings))))
    if len(records) != len(deltas):
        raise ValueError(f"what is stored of {len(deltas) - len(records)} devices is not told")
    return records


def sum_exactly(numbers: Iterable[Number]) -> Number:
    """Add numbers without ever rounding."""
    with decimal.localcontext(EXACT):
        return sum(numbers)
