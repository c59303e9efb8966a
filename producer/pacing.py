"""How fast records are sent: at a rate that is to be reached, or at most at one.

`Pace` is an open loop: what is due depends on the clock alone, never on how long sending takes.
`Limit` protects who else uses the cluster: what a stall has held up is not made up for.
"""

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


class Limit:
    """At most `rate` records a second, and at most a second's worth at once."""

    def __init__(self, rate: float, started: float) -> None:
        self._rate = rate
        self._paid_at = started

    def pause_after(self, records: int, now: float) -> float:
        """Count records as sent; returns the seconds to wait before the next ones."""
        self._paid_at = max(self._paid_at, now - 1.0) + records / self._rate
        return max(0.0, self._paid_at - now)
