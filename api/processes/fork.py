"""A process that goes on from this one: it starts at once, and needs no Python that it may execute.

Only where nothing but this thread runs yet: locks that other threads hold would never be released.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Collection
from typing import NoReturn

from contract.exit_codes import FAILED

_LOOK_SECONDS = 0.01
#: More than any process has at its start.
_HANDLES = 65_536


class Fork:
    """As much of a subprocess.Popen as a process that is kept needs."""

    def __init__(self, work: Callable[[], int], handles: Collection[int]) -> None:
        """Start it; it ends with what the work returns, and has only these handles of ours."""
        self._code: int | None = None
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if not self.pid:
            _run(work, handles)

    def poll(self) -> int | None:
        """Return what it ended with, negative: by that signal; None while it runs."""
        if self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._code = os.waitstatus_to_exitcode(status)
        return self._code

    def wait(self, timeout: float | None = None) -> int:
        """Return what it ended with. Raises: subprocess.TimeoutExpired."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if timeout is not None and deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("a fork", timeout)
            time.sleep(_LOOK_SECONDS)
        return code

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it runs."""
        if self.poll() is None:
            os.kill(self.pid, number)


def _run(work: Callable[[], int], handles: Collection[int]) -> NoReturn:
    code = FAILED
    try:
        # Ctrl-C is for the first process, which passes it on.
        os.setpgid(0, 0)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        _keep_only({0, 1, 2, *handles})
        code = work()
    except BaseException:
        traceback.print_exc()
    finally:
        # Nothing of the first process is tidied up here.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _keep_only(handles: Collection[int]) -> None:
    """Close all others: a port, a lock or a pipe would be held for as long as this process runs."""
    first = 0
    for handle in sorted(handles):
        # Of an empty range Python makes one without an end.
        if first < handle:
            os.closerange(first, handle)
        first = handle + 1
    os.closerange(first, _HANDLES)
