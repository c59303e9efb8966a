"""Waiting for what nobody tells."""

import asyncio
from collections.abc import Callable


async def until(is_so: Callable[[], object]) -> None:
    """Let the loop run until it is so; pytest ends a test that waits in vain."""
    while not is_so():  # noqa: ASYNC110
        await asyncio.sleep(0.001)
