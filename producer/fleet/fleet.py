"""A simulated fleet: readings of many devices, the same bytes for the same seed.

A quarter of the devices have one reading each (a lost one shows in the number of devices), the
first device has 30 % of all, the others take turns in random order. Energies are random 40-bit
integers, so a loss and a double cannot cancel; one in 20 is a decimal of 1 to 60 digits with
either sign. Time moves forward, from a fixed start.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import count, islice

from contract.decimals import Number, parse_number
from producer.fleet.simulated import BadValues, Simulated

#: Readings that are made at once; what `take` returns does not depend on it.
_BLOCK = 1000
_HOT_SHARE = 0.3
_DECIMAL_SHARE = 0.05
_STRING_SHARE = 0.2
_ENERGY_BITS = 40
_START = datetime(2025, 4, 30, 10, 11, 21, tzinfo=UTC)
_LOCATIONS = ("Living Room", "Kitchen", "Cellar", "Garage", "Küche", "Büro 2")
#: Where the end is open, one in so many readings is the only one of its device.
_LONELY_EVERY = 16


class Fleet:
    """Readings without end, or the first `readings` of them.

    `rate` is how many readings a second of simulated time has; `bad` the share of values that
    are no readings, which come in addition.
    """

    def __init__(
        self,
        *,
        devices: int,
        seed: int,
        readings: int | None = None,
        rate: float = 1000.0,
        bad: float = 0.0,
    ) -> None:
        """Make the devices; nothing is drawn yet."""
        self._random = random.Random(seed)
        self._keys = [b"device_%d" % number for number in range(devices)]
        self._middles = [b'", "device_id": "%b", "energy_consumed": ' % key for key in self._keys]
        self._ends = [
            f', "location": "{_LOCATIONS[number % len(_LOCATIONS)]}"}}'.encode()
            for number in range(devices)
        ]
        self._readings = readings
        self._rate = rate
        self._bad = BadValues(bad, self._random)
        self._blocks = self._make()
        self._made = Simulated([], [], [])

    is_of_the_past = False

    def take(self, most: int) -> Simulated:
        """Return the next values, at most so many; empty lists when the fleet has ended."""
        made = self._made
        while len(made.values) < most and (block := next(self._blocks, None)) is not None:
            made.extend(block)
        return made.cut(most)

    def _make(self) -> Iterator[Simulated]:
        devices, made = self._devices(), 0
        while self._readings is None or made < self._readings:
            size = _BLOCK if self._readings is None else min(_BLOCK, self._readings - made)
            numbers = list(islice(devices, size))
            energies, texts = self._energies(size)
            middles, ends, rate = self._middles, self._ends, self._rate
            values: list[bytes | None] = [
                b"".join((_beginning(int(place / rate)), middles[device], text, ends[device]))
                for place, device, text in zip(
                    range(made, made + size), numbers, texts, strict=True
                )
            ]
            made += size
            block = Simulated(values, [self._keys[device] for device in numbers], energies)
            yield self._bad.mixed(block)

    def _energies(self, size: int) -> tuple[list[Number | None], list[bytes]]:
        getrandbits, uniform = self._random.getrandbits, self._random.random
        integers = [getrandbits(_ENERGY_BITS) for _ in range(size)]
        energies: list[Number | None] = [*integers]
        texts = [b"%d" % integer for integer in integers]
        for place in range(size):
            if uniform() < _DECIMAL_SHARE:
                text = self._decimal()
                energies[place] = parse_number(text)
                quoted = f'"{text}"' if uniform() < _STRING_SHARE else text
                texts[place] = quoted.encode()
        return energies, texts

    def _decimal(self) -> str:
        digits = self._random.randint(1, 60)
        text = str(self._random.randrange(10**digits)).zfill(digits)
        fraction = self._random.randrange(digits)
        whole = text[: digits - fraction].lstrip("0") or "0"
        sign = self._random.choice(("", "-"))
        return sign + whole + ("." + text[digits - fraction :] if fraction else "")

    def _devices(self) -> Iterator[int]:
        """Deal out devices: lonely ones evenly, then the hot one, then the others in turn."""
        devices = len(self._keys)
        lonely = devices // 4
        every = _LONELY_EVERY
        if self._readings is not None:
            lonely = min(lonely, self._readings // 2)
            every = max(2, self._readings // (lonely + 1))
        busy = list(range(1, devices - lonely)) or [0]
        turn: list[int] = []
        for place in count(1):
            if lonely and place % every == 0:
                yield devices - lonely
                lonely -= 1
            elif self._random.random() < _HOT_SHARE:
                yield 0
            else:
                if not turn:
                    self._random.shuffle(busy)
                    turn = busy.copy()
                yield turn.pop()


@lru_cache(maxsize=1024)
def _beginning(second: int) -> bytes:
    at = _START + timedelta(seconds=second)
    return f'{{"timestamp": "{at:%Y-%m-%d %H:%M:%S}'.encode()
