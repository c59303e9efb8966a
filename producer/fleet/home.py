"""A simulated home: its devices in their rooms, day and night, weekdays and weekends.

Readings come in order of time: each device one every so many seconds, from a beginning on. One
device falls silent after three days, one has a wild night now and then, and one feeds in what
the roof gives, so its amounts are negative. The same seed gives the same bytes for the past; what
is measured now has the clock's time.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from contract.decimals import parse_number
from producer.fleet.simulated import BadValues, Simulated

_SILENT_AFTER = timedelta(days=3)
_WILD_EVERY = 97
_WILD_TIMES = 20
_SATURDAY = 5


class _Kind(NamedTuple):
    """A kind of device: its name, its room, and its watts at night, by day and in the evening."""

    name: str
    room: str
    night: int
    day: int
    evening: int
    #: By day at weekends, when somebody is at home.
    weekend: int


_KINDS = (
    _Kind("fridge", "Kitchen", 45, 55, 60, 60),
    _Kind("heat-pump", "Cellar", 900, 600, 1100, 800),
    _Kind("oven", "Kitchen", 0, 40, 700, 300),
    _Kind("television", "Living Room", 2, 10, 160, 90),
    _Kind("lights", "Living Room", 5, 15, 180, 40),
    _Kind("solar-roof", "Roof", 0, -1800, -50, -1800),
    _Kind("desk", "Büro 2", 8, 140, 30, 20),
    _Kind("washing-machine", "Bathroom", 0, 90, 120, 260),
    _Kind("wall-box", "Garage", 1400, 100, 2200, 300),
    _Kind("freezer", "Cellar", 70, 75, 75, 75),
    _Kind("lamp", "Bedroom", 1, 2, 35, 8),
    _Kind("router", "Hall", 12, 12, 12, 12),
)
#: By their place among the devices.
_SILENT, _WILD = 6, 7


class Home:
    """Readings from `start` on, `every` seconds one of each device; the first `readings` of them.

    Without `readings` they continue to the present, and from there on at once as they are asked
    for.
    """

    def __init__(
        self,
        *,
        devices: int,
        seed: int,
        start: datetime,
        every: float,
        readings: int | None = None,
        bad: float = 0.0,
        live_every: float | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Furnish it.

        `live_every`: after the past come readings of now, each of so many seconds, without an end.
        """
        self._random = random.Random(seed)
        self._names = [_name(number) for number in range(devices)]
        self._start, self._every = start, timedelta(seconds=every)
        self._readings = readings
        self._live_every = None if live_every is None else timedelta(seconds=live_every)
        self._bad = BadValues(bad, self._random)
        self._now = now
        self._until = None if readings is not None else now()
        self._made = 0
        self.is_of_the_past = True
        self._waiting = Simulated([], [], [])

    def take(self, most: int) -> Simulated:
        """Return the next values, at most so many; empty lists at the end."""
        waiting = self._waiting
        while len(waiting.values) < most:
            was_of_the_past = self.is_of_the_past
            good = self._next(most)
            waiting.extend(self._bad.mixed(good))
            has_turned = was_of_the_past and not self.is_of_the_past
            if (has_turned and waiting.values) or not (has_turned or good.values):
                break
        return waiting.cut(most)

    def _next(self, most: int) -> Simulated:
        made = Simulated([], [], [])
        devices = len(self._names)
        while len(made.values) < most and self._made != self._readings:
            turn, number = divmod(self._made, devices)
            at = self._start + turn * self._every
            if not self.is_of_the_past:
                at = self._now()
            elif self._until is not None and at >= self._until:
                if self._live_every is not None:
                    self.is_of_the_past, self._every = False, self._live_every
                # What is of now is taken at a rate: it never comes with the past.
                break
            self._made += 1
            if number == _SILENT and at - self._start > _SILENT_AFTER:
                continue
            name, room = self._names[number]
            text = self._energy(number, at)
            value = (
                f'{{"timestamp": "{at:%Y-%m-%d %H:%M:%S}", "device_id": "{name}",'
                f' "energy_consumed": {text}, "location": "{room}"}}'
            )
            made.values.append(value.encode())
            made.keys.append(name.encode())
            made.energies.append(parse_number(text))
        return made

    def _energy(self, number: int, at: datetime) -> str:
        """Return watt hours of one reading, with three places."""
        kind = _KINDS[number % len(_KINDS)]
        watts = _watts(kind, at)
        if number == _WILD and self._random.randrange(_WILD_EVERY) == 0:
            watts *= _WILD_TIMES
        hours = self._every.total_seconds() / 3600
        return f"{watts * hours * self._random.uniform(0.6, 1.4):.3f}"


def _watts(kind: _Kind, at: datetime) -> int:
    if 6 <= at.hour < 17:
        return kind.weekend if at.weekday() >= _SATURDAY else kind.day
    return kind.evening if 17 <= at.hour < 23 else kind.night


def _name(number: int) -> tuple[str, str]:
    """Return device_id and location: of the first of each kind the id has no number."""
    copy, kind = divmod(number, len(_KINDS))
    name, room = _KINDS[kind][:2]
    return (name, room) if not copy else (f"{name}-{copy + 1}", room)
