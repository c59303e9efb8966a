"""An open loop: what is due depends on the clock alone, never on how long sending takes."""

from __future__ import annotations


class Pace:
    """`rate` records a second from `started` on, exactly."""

    def __init__(self, rate: float, started: float) -> None:
        self._rate = rate
        self._started = started
        self._taken = 0

    def due(self, now: float) -> int:
        """Return how many records are due and not taken yet."""
        return max(0, int((now - self._started) * self._rate) + 1 - self._taken)

    def take(self, records: int) -> None:
        """Count records as sent."""
        self._taken += records

    def seconds_to_next(self, now: float) -> float:
        """Return how long nothing is due."""
        return max(0.0, self._started + self._taken / self._rate - now)
