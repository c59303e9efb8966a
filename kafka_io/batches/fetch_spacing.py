"""How far small fetches are kept apart, by how much comes.

A fetch for each record keeps broker and reader busier than the records do, and makes all of
them late.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

Spacings = Sequence[tuple[int, float]]
"""(bytes per second from which on it holds, seconds until the next fetch), ascending from 0."""
#: What came in the last of so many seconds tells how much comes. A single answer does not: a few
#: records that came together, soon after the last answer, look like a higher rate.
RATE_SECONDS = 0.2


class Spacing:
    """When the next fetch may be sent, by how much came with those before."""

    def __init__(self, spacings: Spacings, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with nothing that has come; `clock` is in seconds."""
        self._spacings = spacings
        self._clock = clock
        self._answered_at = self._until = 0.0
        self._bytes_per_second = 0.0

    def wait_seconds(self) -> float:
        """Return how long the next fetch has to wait, 0.0 if it has not."""
        return max(0.0, self._until - self._clock())

    def answered(self, fetched_bytes: int) -> None:
        """Take note that an answer has come, and how much is there now."""
        now = self._clock()
        elapsed = max(now - self._answered_at, 1e-6)
        self._answered_at = now
        share = 1 - math.exp(-elapsed / RATE_SECONDS)
        self._bytes_per_second += share * (fetched_bytes / elapsed - self._bytes_per_second)
        self._until = (
            now
            + [seconds for least, seconds in self._spacings if least <= self._bytes_per_second][-1]
        )

    def end(self) -> None:
        """Let the next fetch be sent at once: there is more than anybody waits for."""
        self._until = 0.0
