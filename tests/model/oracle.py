"""What the totals must be, kept by hand: plain json and fractions, nothing of ours.

`VALUES` are the readings and the bad records that schedules append. Weights are random 40-bit
integers, so that a loss and a double cannot cancel, and decimals that a float or a short decimal
context would round. The sums are whole numbers of 10^-50.
"""

from __future__ import annotations

import json
import random
from fractions import Fraction
from typing import Any, NamedTuple

SCALE = 10**50
DEVICES = ("device_1", "dévice \u2603", "device,3")


class Value(NamedTuple):
    """A value as it stands in the log; `device` is None for one that no total may have."""

    value: bytes | None
    device: str | None
    scaled: int


def _good(device: str, energy: str) -> Value:
    text = f'{{"timestamp": "2025-04-30 10:11:21", "device_id": {json.dumps(device)}, '
    text += f'"energy_consumed": {energy}, "location": "Kitchen"}}'
    scaled = Fraction(json.loads(energy) if energy[0] == '"' else energy) * SCALE
    assert scaled.denominator == 1
    return Value(text.encode(), device, scaled.numerator)


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
GOOD = [_good(DEVICES[place % len(DEVICES)], energy) for place, energy in enumerate(_ENERGIES)]
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
        self.totals: dict[str, list[int]] = {}
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
            total = self.totals.get(value.device)
            if total is None:
                self.totals[value.device] = [value.scaled, 1]
            else:
                total[0] += value.scaled
                total[1] += 1

    def expected(self) -> dict[bytes, bytes]:
        """Return what the changelog must hold for each device."""
        return {
            device.encode(): f"1 {total[1]} {canonical(total[0])}".encode()
            for device, total in self.totals.items()
        }


def added(parts: list[dict[str, list[int]]]) -> dict[str, tuple[str, int]]:
    """Add the partitions' totals: device -> (canonical text, readings)."""
    sums: dict[str, list[int]] = {}
    for part in parts:
        for device, (scaled, count) in part.items():
            both = sums.setdefault(device, [0, 0])
            both[0] += scaled
            both[1] += count
    return {device: (canonical(both[0]), both[1]) for device, both in sums.items()}
