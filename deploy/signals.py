"""The first signal that ends a long command decides its exit code."""

from __future__ import annotations

import asyncio
import signal

from deploy.exits import INTERRUPTED


def first_signal() -> asyncio.Future[int]:
    """Return what becomes the exit code when a signal comes; for the running loop."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[int] = loop.create_future()

    def end(code: int) -> None:
        if not ended.done():
            ended.set_result(code)

    loop.add_signal_handler(signal.SIGINT, end, INTERRUPTED)
    loop.add_signal_handler(signal.SIGTERM, end, 0)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        # The terminal is closed; under nohup it is not meant to matter.
        loop.add_signal_handler(signal.SIGHUP, end, 0)
    return ended
