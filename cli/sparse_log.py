"""Shows a library's log lines now and then: a broker that is away makes twenty a second."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable

EVERY_SECONDS = 10.0
#: What goes wrong at the start ends the command, with a line of its own.
QUIET_AT_START_SECONDS = 15.0


class SparseHandler(logging.Handler):
    """Prints a line on standard error, then none for a while, and counts what it left out."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(logging.WARNING)
        self._clock = clock
        self._next = clock() + QUIET_AT_START_SECONDS
        self._left_out = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Print it if one is due."""
        now = self._clock()
        if now < self._next:
            self._left_out += 1
            return
        more = f" (and {self._left_out} lines like it before)" if self._left_out else ""
        print(f"{' '.join(record.getMessage().split())}{more}", file=sys.stderr, flush=True)
        self._next, self._left_out = now + EVERY_SECONDS, 0


def show_sparsely() -> None:
    """Show the producer's warnings so, instead of one by one."""
    logger = logging.getLogger("producer")
    logger.handlers = [SparseHandler()]
    logger.propagate = False
