"""The parent of a server of several processes: keeps them running, and ends them in order.

It takes the port, so that a second server on it is refused, and serves nothing itself. Guarantees:
none of its processes outlives it for longer than a stop takes, even where it is killed.
"""

from __future__ import annotations

import logging
import os
import select
import shutil
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType

from api.listening import bind_together
from api.processes.keeping import FOLLOWER_SECONDS, Kept
from api.processes.part import metrics_directory
from api.processes.parts import Parts
from api.settings import ApiSettings
from api.shared_metrics import DIRECTORY_VARIABLE, ParentMetrics
from contract.exit_codes import DONE, INTERRUPTED

log = logging.getLogger("api.processes")

#: What an HTTP process takes to stop, once drained, and a little.
STOP_SECONDS = 9.3
#: The contract gives a stop 10 s.
ALL_SECONDS = 9.8


class Parent:
    """A follower and HTTP processes, as long as the server runs."""

    def __init__(
        self,
        follower: Kept,
        http: Sequence[Kept],
        *,
        drain_seconds: float = 0.0,
    ) -> None:
        """Store the arguments; `run` starts them."""
        self._follower = follower
        self._http = http
        self._drain_seconds = drain_seconds
        self._signals: list[int] = []

    def run(self) -> int:
        """Keep them running until a signal, or until one asks for a person; returns the code."""
        with self._listening() as woken:
            code = self._keep(woken)
            self._stop(woken)
        return code

    def _keep(self, woken: int) -> int:
        everyone = [self._follower, *self._http]
        while not self._signals:
            pause = min(each.look() for each in everyone)
            for each in everyone:
                if each.exit_code is not None:
                    return each.exit_code
            self._wait(woken, pause)
        return INTERRUPTED if self._signals[0] == signal.SIGINT else DONE

    def _stop(self, woken: int) -> None:
        """End HTTP first: until its last answer it needs what the follower tells."""
        began = time.monotonic()
        self._end(self._http, woken, self._drain_seconds + STOP_SECONDS)
        left = began + self._drain_seconds + ALL_SECONDS - time.monotonic()
        self._follower.end(min(FOLLOWER_SECONDS, left))

    def _end(self, parts: Sequence[Kept], woken: int, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        passed_on = 0
        signals = self._signals or [signal.SIGTERM]
        while True:
            for number in signals[passed_on:]:
                for each in parts:
                    each.signal(number)
            passed_on = len(signals)
            for each in parts:
                each.look(starts=False)
            left = deadline - time.monotonic()
            if not any(each.is_running for each in parts):
                return
            if left <= 0:
                break
            self._wait(woken, left)
        for each in parts:
            if each.is_running:
                log.warning("%s did not end in time and is killed", each.name)
                each.kill()

    @contextmanager
    def _listening(self) -> Iterator[int]:
        """Hear signals, and of processes that end; gives what is readable then."""
        readable, writable = os.pipe()
        os.set_blocking(readable, False)
        os.set_blocking(writable, False)
        former_fd = signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
        former = {
            number: signal.signal(number, self._hear)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
        }
        try:
            yield readable
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(former_fd)
            os.close(readable)
            os.close(writable)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if number != signal.SIGCHLD:
            self._signals.append(number)

    def _wait(self, woken: int, seconds: float) -> None:
        select.select([woken], [], [], seconds)
        with suppress(BlockingIOError):
            os.read(woken, 4_096)


def run(settings: ApiSettings, environ: Mapping[str, str], *, debug: bool = False) -> int:
    """Run API_PROCESSES HTTP processes and their follower until stopped; returns the exit code.

    `settings.view_dir` is this server's alone. Raises: StartRefused, OSError.
    """
    assert settings.view_dir is not None
    directory = settings.view_dir
    numbers = _emptied(metrics_directory(directory))
    metrics = ParentMetrics(numbers)
    with ExitStack() as stack:
        # Held, not listened on: the port is taken as long as the server runs.
        stack.enter_context(bind_together(settings))
        shared = dict(environ) | {DIRECTORY_VARIABLE: str(numbers)}
        parts = Parts(stack, directory, shared, metrics.ended, debug=debug)
        parent = Parent(
            parts.follower(),
            [parts.http(number) for number in range(settings.processes)],
            drain_seconds=settings.drain_seconds,
        )
        return parent.run()


def _emptied(directory: Path) -> Path:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(mode=0o700)
    return directory
