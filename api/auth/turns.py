"""Work that only a few may do at a time, fairly between tokens: the others wait in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass
class _Own:
    places: asyncio.Semaphore
    users: int = 0


class Turns:
    """So many turns at a time, of which one token has at most a few, however many it asks for."""

    def __init__(self, total: int, each: int) -> None:
        """Begin with all turns free; `each` is for one token, less than `total`."""
        self._all = asyncio.Semaphore(total)
        self._each = each
        self._own: dict[str, _Own] = {}

    @asynccontextmanager
    async def turn(self, token_name: str) -> AsyncIterator[None]:
        """Wait for a turn, and have it for as long as the block runs."""
        own = self._own.setdefault(token_name, _Own(asyncio.Semaphore(self._each)))
        own.users += 1
        try:
            # First its own: what waits for all turns is then of few requests of a token.
            async with own.places, self._all:
                yield
        finally:
            own.users -= 1
            if not own.users:
                del self._own[token_name]
