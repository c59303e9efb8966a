"""How a long command hears that it is to end, and what it then ends with.

    with Stop() as stop:              # runs until it is stopped: SIGTERM ends it with 0
    with Stop(RESTART_ME) as stop:    # finite work: whoever started it must run it again

The first of Ctrl-C, SIGTERM and a closed terminal counts, later ones change nothing. Nothing is
raised: the work looks at `stop.is_set` between two steps, waits for `stop.event`, or, in an event
loop, for `stop.future()`. Main thread only; the former handlers are put back at the end.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Event, Thread
from typing import Any, NoReturn, Self

from contract.exit_codes import DONE, INTERRUPTED


class Stop:
    """Set by the first signal; `exit_code` is then what the command ends with."""

    def __init__(self, at_sigterm: int = DONE) -> None:
        self.event = Event()
        self.exit_code = DONE
        self._at_sigterm = at_sigterm
        # A handler runs between any two steps of the main thread, which may hold the event's
        # lock just then; a SimpleQueue may be put to all the same.
        self._signals: SimpleQueue[int | None] = SimpleQueue()
        self._listeners: list[Callable[[], object]] = []
        self._former: dict[int, Any] = {}

    def is_set(self) -> bool:
        """Whether a signal has come."""
        return self.event.is_set()

    def future(self) -> asyncio.Future[int]:
        """Return what becomes the exit code when a signal comes; for the running loop."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[int] = loop.create_future()

        def end() -> None:
            if not ended.done():
                ended.set_result(self.exit_code)

        def tell() -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(end)

        self._listeners.append(tell)
        if self.is_set():
            end()
        return ended

    def __enter__(self) -> Self:
        Thread(target=self._hear, daemon=True).start()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # Under nohup a closed terminal is not meant to matter.
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                self._former[number] = signal.signal(number, lambda n, _: self._signals.put(n))
        return self

    def __exit__(self, *_: object) -> None:
        """Give signals their former meaning."""
        for number, handler in self._former.items():
            signal.signal(number, handler)
        self._signals.put(None)

    def _hear(self) -> None:
        first = self._signals.get()
        if first is None:
            return
        self.exit_code = INTERRUPTED if first == signal.SIGINT else self._at_sigterm
        self.event.set()
        for listener in self._listeners:
            listener()


def end_at_sigterm(code: int) -> None:
    """Let SIGTERM end this process with `code`, as Ctrl-C would with 130."""

    def end(number: int, frame: object) -> NoReturn:
        raise SystemExit(code)

    signal.signal(signal.SIGTERM, end)
