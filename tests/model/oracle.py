"""What the totals must be, kept by hand: plain json and fractions, nothing of ours.

`VALUES` are the readings and the bad records that schedules append. Weights are random 40-bit
integers, so that a loss and a double cannot cancel, and decimals that a float or a short decimal
context would round. The sums are whole numbers of 10^-50.
"""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from functools import lru_cache
from typing import Any, NamedTuple

from contract.device_totals import DEVICE_TOTALS
from contract.view import View

SCALE = 10**50
DEVICES = ("device_1", "dévice \u2603", "device,3")


#: All readings are of one hour, in its first quarter or its third; or of that hour of a later day.
_FIRST_DAY = datetime(2025, 4, 30, 10, tzinfo=UTC)
HOUR = int(_FIRST_DAY.timestamp()) // 3_600
_TIMES = (("10:11:21", 681), ("10:31:02", 1_862))


class Value(NamedTuple):
    """A value as it stands in the log; `device` is None for one that no total may have."""

    value: bytes | None
    device: str | None
    scaled: int
    #: The second since the first hour began.
    second: int = 0


def _good(device: str, energy: str, when: int = 0) -> Value:
    time, second = _TIMES[when]
    text = f'{{"timestamp": "2025-04-30 {time}", "device_id": {json.dumps(device)}, '
    text += f'"energy_consumed": {energy}, "location": "Kitchen"}}'
    scaled = Fraction(json.loads(energy) if energy[0] == '"' else energy) * SCALE
    assert scaled.denominator == 1
    return Value(text.encode(), device, scaled.numerator, second)


@lru_cache(maxsize=4_096)
def on_day(value: Value, day: int) -> Value:
    """Return a good value so many days later; others as they are."""
    if value.device is None or value.value is None or not day:
        return value
    date = f"{_FIRST_DAY + timedelta(days=day):%Y-%m-%d}".encode()
    text = value.value.replace(b"2025-04-30", date)
    return value._replace(value=text, second=value.second + 86_400 * day)


_weights = random.Random(40)
_ENERGIES = [str(_weights.getrandbits(40)) for _ in range(24)] + [
    "0.1",
    "0.2",
    "-0.3",
    '"0.75"',
    "1e-30",
    "-2.50E+3",
    "123456789012345678901234567890.12345678901234567890",
    "98765432109876543210987654321098765432109876543.21",
]
GOOD = [
    _good(DEVICES[place % len(DEVICES)], energy, place // len(DEVICES) % 2)
    for place, energy in enumerate(_ENERGIES)
]
BAD = [
    Value(value, None, 0)
    for value in (None, b"", b'{"device_id": "device_1"}', b"\xff", GOOD[0].value[:-1])
]
#: Broken each, but two good readings when joined by a comma between brackets.
BROKEN_PAIR = [
    Value(GOOD[1].value + b',{"x":[{}', None, 0),
    Value(b"{}]," + GOOD[2].value[1:], None, 0),
]


def canonical(scaled: int) -> str:
    """Write a whole number of 10^-50 as the contract's canonical decimal."""
    whole, part = divmod(abs(scaled), SCALE)
    text = f"{'-' if scaled < 0 else ''}{whole}"
    return text if not part else text + "." + f"{part:050d}".rstrip("0")


class Appended(NamedTuple):
    """A value in the readings log; it counts when its transaction, if any, is committed."""

    offset: int
    value: Value
    transaction: Any


class PrefixTotals:
    """What a partition's totals are when everything up to an offset is applied."""

    def __init__(self, appended: list[Appended]) -> None:
        """Follow a list that grows."""
        self._appended = appended
        self._at = 0
        #: Device and second of the hour -> sum and number of readings.
        self._sums: dict[tuple[str, int], list[int]] = {}
        self.counted = 0
        self.bad: list[int] = []

    def advance(self, applied_offset: int) -> None:
        """Take in everything up to this offset."""
        appended = self._appended
        while self._at < len(appended) and appended[self._at].offset <= applied_offset:
            offset, value, transaction = appended[self._at]
            self._at += 1
            if transaction is not None and transaction.state != "committed":
                continue
            if value.device is None:
                self.bad.append(offset)
                continue
            self.counted += 1
            total = self._sums.get((value.device, value.second))
            if total is None:
                self._sums[value.device, value.second] = [value.scaled, 1]
            else:
                total[0] += value.scaled
                total[1] += 1

    def expected(self, view: View, cutoff: int = 0) -> dict[bytes, bytes]:
        """Return the rows that the changelog of a view must hold, all before an hour added up."""
        return rows([self], view, cutoff)


def rows(parts: list[PrefixTotals], view: View, cutoff: int = 0) -> dict[bytes, bytes]:
    """Add partitions up: the rows that readers have of a view."""
    if view is not DEVICE_TOTALS:
        return _hours(parts, cutoff)
    return {
        device.encode(): f"1 {count} {total}".encode()
        for device, (total, count) in totals(parts).items()
    }


def totals(parts: list[PrefixTotals]) -> dict[str, tuple[str, int]]:
    """Add the partitions' totals: device -> (canonical text, readings)."""
    sums: dict[str, list[int]] = {}
    for part in parts:
        for (device, _), (scaled, count) in part._sums.items():
            both = sums.setdefault(device, [0, 0])
            both[0] += scaled
            both[1] += count
    return {device: (canonical(both[0]), both[1]) for device, both in sums.items()}


def _hours(parts: list[PrefixTotals], cutoff: int) -> dict[bytes, bytes]:
    """Make the rows of each device: one for each hour, and one for all before the cutoff."""
    hours: dict[tuple[str, int], dict[int, list[int]]] = {}
    before: dict[bytes, list[int]] = {}
    for part in parts:
        for (device, since), (scaled, count) in part._sums.items():
            hour, second = HOUR + since // 3_600, since % 3_600
            if hour < cutoff:
                at = 3_600 * hour + second
                _add_before(before, device.encode(), at, at, count, scaled)
                continue
            both = hours.setdefault((device, hour), {}).setdefault(second, [0, 0])
            both[0] += scaled
            both[1] += count
    found = {}
    for (device, hour), by_second in hours.items():
        quarters = ["0"] * 4
        for second, (scaled, count) in by_second.items():
            quarters[second // 900] = f"{count} {canonical(scaled)}"
        row = f"1 {min(by_second)} {max(by_second)} {' '.join(quarters)}"
        found[f"{device}\0{hour:07}\0Kitchen".encode()] = row.encode()
    return found | _rows_before(before)


def _add_before(
    before: dict[bytes, list[int]], device: bytes, first: int, last: int, count: int, scaled: int
) -> None:
    row = before.setdefault(device, [first, last, 0, 0])
    row[:2] = min(row[0], first), max(row[1], last)
    row[2] += count
    row[3] += scaled


def _rows_before(before: dict[bytes, list[int]]) -> dict[bytes, bytes]:
    return {
        device + b"\0-------\0Kitchen": f"1 {first} {last} {count} {canonical(scaled)}".encode()
        for device, (first, last, count, scaled) in before.items()
    }


def rolled_up(found: dict[bytes, bytes], cutoff: int) -> dict[bytes, bytes]:
    """Return rows of the series as they are once all before the cutoff is added up."""
    left: dict[bytes, bytes] = {}
    before: dict[bytes, list[int]] = {}
    for key, value in found.items():
        device, hour, _ = key.split(b"\0")
        if hour != b"-------" and int(hour) >= cutoff:
            left[key] = value
            continue
        first, last, *numbers = value.decode().split(" ")[1:]
        began = 0 if hour == b"-------" else 3_600 * int(hour)
        count = scaled = 0
        while numbers:
            if readings := int(numbers.pop(0)):
                count += readings
                scaled += int(Fraction(numbers.pop(0)) * SCALE)
        _add_before(before, device, began + int(first), began + int(last), count, scaled)
    return left | _rows_before(before)
