"""How fast readings may be folded, where others need the machine more.

Never splits a chunk: one is let through at once, and the next waits until it is paid for.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable


class Pace:
    """Bounds the readings of one worker in a second; None: no bound."""

    def __init__(
        self,
        readings_per_second: int | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._rate = readings_per_second
        self._clock = clock
        self._sleep = sleep
        self._paid_at = 0.0

    async def take(self, readings: int) -> None:
        """Return when so many may be folded; what is not used up is not saved for later."""
        if self._rate is None:
            return
        now = self._clock()
        wait = self._paid_at - now
        self._paid_at = max(self._paid_at, now) + readings / self._rate
        if wait > 0:
            await self._sleep(wait)
