"""Believes that something is missing or wrong only when Kafka has said so for some seconds.

A broker that starts answers before it knows all its topics, their configs and what is in them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from stream_app.errors import Suspicion

Answer = TypeVar("Answer")

CERTAIN_SECONDS = 5.0
_PAUSE_SECONDS = 0.5


async def certainly(ask: Callable[[], Awaitable[Answer]]) -> Answer:
    """Ask until there is no suspicion. Raises: Suspicion, once it has lasted CERTAIN_SECONDS."""
    deadline = time.monotonic() + CERTAIN_SECONDS
    while True:
        try:
            return await ask()
        except Suspicion:
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(_PAUSE_SECONDS)
