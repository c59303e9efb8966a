"""What a simulated fleet gives to be sent: values, and what is known about each."""

from __future__ import annotations

import random
from itertools import count
from typing import NamedTuple, Protocol

from contract.decimals import Number
from producer.fleet.bad_values import bad_value


class Simulated(NamedTuple):
    """Values, their keys and their energies; None is the energy of what is no reading."""

    values: list[bytes | None]
    keys: list[bytes]
    energies: list[Number | None]

    def cut(self, most: int) -> Simulated:
        """Take out the first ones, at most so many."""
        taken = Simulated(self.values[:most], self.keys[:most], self.energies[:most])
        del self.values[:most], self.keys[:most], self.energies[:most]
        return taken

    def extend(self, more: Simulated) -> None:
        """Add others behind these."""
        self.values.extend(more.values)
        self.keys.extend(more.keys)
        self.energies.extend(more.energies)


class Readings(Protocol):
    """Where simulated readings come from."""

    @property
    def is_of_the_past(self) -> bool:
        """Whether what comes next needs no pace: it was measured long ago."""

    def take(self, most: int) -> Simulated:
        """Return the next values, at most so many; empty lists when they have ended."""


class BadValues:
    """Mixes values that must be quarantined into good ones; they come in addition."""

    def __init__(self, share: float, chance: random.Random) -> None:
        """`share` of all values are bad."""
        self._per_reading = share / (1 - share)
        self._due = 0.0
        self._kinds = count()
        self._random = chance

    def mixed(self, good: Simulated) -> Simulated:
        """Return the good values with the bad ones that are due among them."""
        if not self._per_reading:
            return good
        mixed = Simulated([], [], [])
        for value, key, energy in zip(*good, strict=True):
            self._due += self._per_reading
            while self._due >= 1:
                self._due -= 1
                mixed.values.append(bad_value(next(self._kinds), value or b"", self._random))
                mixed.keys.append(key)
                mixed.energies.append(None)
            mixed.values.append(value)
            mixed.keys.append(key)
            mixed.energies.append(energy)
        return mixed
