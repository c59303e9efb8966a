"""One process that is kept running: started, ended, and started again after a while."""

from __future__ import annotations

import logging
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from api.processes.fork import Fork
from contract.exit_codes import FAILED, FINAL, in_words

log = logging.getLogger("api.processes")

#: Before the first start again, doubled each time.
FIRST_DELAY_SECONDS = 0.1
LONGEST_DELAY_SECONDS = 30.0
#: A process that ran for so long got past its start: its next end is a new story.
WELL_AFTER_SECONDS = 5.0
#: For a follower to end in: it has nothing in flight, and closes its copies.
FOLLOWER_SECONDS = 2.0


class Kept:
    """A process of a server, seen from its parent."""

    def __init__(
        self,
        name: str,
        arguments: Callable[[bool], Sequence[str]],
        environ: Mapping[str, str],
        handles: Sequence[int],
        *,
        must_start: bool = False,
        first: Callable[[], int] | None = None,
        on_end: Callable[[bool], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Store the arguments; `look` starts it.

        `arguments` are told whether it is a start again, `on_end` whether one will follow;
        `handles` are passed on. `first` is what the first start does in a fork of this process;
        else it has arguments, too. One that `must_start` is not started again where its first
        start fails: it has said why.
        """
        self.name = name
        self._arguments = arguments
        self._environ = environ
        self._handles = handles
        self._must_start = must_start
        self._first = first
        self._on_end = on_end
        self._clock = clock
        self._process: subprocess.Popen[bytes] | Fork | None = None
        self._starts = 0
        self._started_at = 0.0
        self._due_at = 0.0
        self._delay = FIRST_DELAY_SECONDS
        #: What it ended with last, where nobody starts it again.
        self.exit_code: int | None = None

    @property
    def is_running(self) -> bool:
        """Whether it was started and its end was not seen yet."""
        return self._process is not None

    def look(self, *, starts: bool = True) -> float:
        """See whether it has ended, start it if it is due; returns seconds to the next look.

        Without `starts` it stays away. One that a start again would not help is not started
        again: `exit_code` says what it ended with.
        """
        if self._process is not None and (code := self._process.poll()) is not None:
            self._process = None
            self._ended(code, starts=starts)
        if self._process is not None or not starts or self.exit_code is not None:
            return LONGEST_DELAY_SECONDS
        wait = self._due_at - self._clock()
        if wait <= 0:
            self._start()
            return LONGEST_DELAY_SECONDS
        return wait

    def signal(self, number: int) -> None:
        """Send it a signal, if it runs."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)

    def kill(self) -> None:
        """End it now, and wait for that."""
        if self._process is not None:
            self.signal(signal.SIGKILL)
            self._process.wait()
            self.look(starts=False)

    def end(self, seconds: float) -> None:
        """Ask it to end, and kill it where it has not after that time; blocks."""
        self.signal(signal.SIGTERM)
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
        self.look(starts=False)
        if self.is_running:
            log.warning("%s did not end in time and is killed", self.name)
            self.kill()

    def _start(self) -> None:
        if self._first is not None and not self._starts:
            self._process = Fork(self._first, self._handles)
        else:
            self._process = subprocess.Popen(
                self._arguments(self._starts > 0),
                env=dict(self._environ),
                stdin=subprocess.DEVNULL,
                pass_fds=self._handles,
                # Ctrl-C is for the parent, which passes it on.
                process_group=0,
            )
        self._starts += 1
        self._started_at = self._clock()
        # A start that is refused says why in one line, and nothing else is said.
        log.debug("%s is process %d", self.name, self._process.pid)

    def _ended(self, code: int, *, starts: bool) -> None:
        ran = self._clock() - self._started_at
        is_first = self._must_start and self._starts == 1
        has_failed = is_first and code == FAILED
        is_over = code in FINAL or has_failed or not starts
        if code in FINAL or has_failed:
            self.exit_code = code
        self._on_end(not is_over)
        if is_over:
            if code and starts and not is_first:
                log.error("%s %s; all end", self.name, in_words(code))
            return
        if ran >= WELL_AFTER_SECONDS:
            self._delay = FIRST_DELAY_SECONDS
        log.warning("%s %s; it is restarted in %g s", self.name, in_words(code), self._delay)
        self._due_at = self._clock() + self._delay
        self._delay = min(LONGEST_DELAY_SECONDS, 2 * self._delay)
