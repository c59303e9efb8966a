"""Faust's worker, which remembers what stopped it and does not take long to stop."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from typing import NoReturn

import faust

from contract.exit_codes import INTERRUPTED

log = logging.getLogger("stream_app")

#: The contract gives a stop 10 s, 30 s with the broker gone; a restart is safe at every point.
STOP_SECONDS = 8.5


class Worker(faust.Worker):  # type: ignore[misc]
    """Faust's worker, which remembers the signal that stopped it."""

    stopped_by: int | None = None

    def _schedule_shutdown(self, signal: signal.Signals) -> None:
        if self.stopped_by is None:
            self.stopped_by = signal
            log.info("stopping: finishing the transaction that runs")
            _ignore_later_ones(self.loop)
            threading.Thread(target=self._end_late, daemon=True).start()
        super()._schedule_shutdown(signal)

    def _end_late(self) -> NoReturn:
        """End the process when stopping takes too long, as without a broker it does."""
        threading.Event().wait(STOP_SECONDS)
        log.warning("stopped without waiting longer; what was not committed is folded again")
        os._exit(self.exit_code)

    @property
    def exit_code(self) -> int:
        """Return 130 after Ctrl-C, what it left with by itself, else 0."""
        if self.app.left_with is not None:
            return int(self.app.left_with)
        return INTERRUPTED if self.stopped_by == signal.SIGINT else 0


def _ignore_later_ones(loop: asyncio.AbstractEventLoop) -> None:
    """Let no later signal change how the process ends.

    A loop that is closed gives each its default back: a second SIGTERM would end by -15 a process
    that has finished.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.remove_signal_handler(number)
        signal.signal(number, signal.SIG_IGN)
