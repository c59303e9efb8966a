"""What every program here ends with, even where the machine refuses something.

    0 done    2 wrong use, setting, missing part    75 start me again
    1 failed  3 a person must act                   130 Ctrl-C

SIGTERM: 0 for what runs until it is stopped, 75 for other work that it ends before its end.
"""

from __future__ import annotations

import errno
import signal
import sys

from contract.errors import text_of

DONE = 0
FAILED = 1
WRONG_USE = 2
REFUSED = 3
RESTART_ME = 75
INTERRUPTED = 130

#: What ended so is not started again: it would end so again.
FINAL = {WRONG_USE, REFUSED}

#: A path, a right or an address that somebody has to change.
_WRONG = {
    errno.EACCES,
    errno.EADDRINUSE,
    errno.EADDRNOTAVAIL,
    errno.EEXIST,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
}
#: What the machine lacks now and may have later: a supervisor tries again until then.
_LACKING = {
    errno.EAGAIN,
    errno.EDQUOT,
    errno.EIO,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOBUFS,
    errno.ENOMEM,
    errno.ENOSPC,
    errno.ESTALE,
    errno.ETIMEDOUT,
}


def of_os_error(error: OSError) -> int:
    """Return the code to end with: 2, 75, or 1 where one cannot tell."""
    if error.errno in _WRONG:
        return WRONG_USE
    if error.errno in _LACKING or isinstance(error, TimeoutError):
        return RESTART_ME
    return FAILED


def of(error: Exception) -> int:
    """Return the code to end with; errors of our own carry it as `exit_code`."""
    if isinstance(error, OSError):
        return of_os_error(error)
    code = getattr(error, "exit_code", FAILED)
    return code if isinstance(code, int) else FAILED


def end_with(error: Exception, command: str) -> int:
    """Say in one line why the command ends; returns the code."""
    line = os_error_line(error) if isinstance(error, OSError) else str(error)
    print(f"{command}: {line}", file=sys.stderr)
    return of(error)


def os_error_line(error: OSError) -> str:
    """Tell it in one line: which file, and what the system says."""
    said = error.strerror or text_of(error)
    return f"{error.filename}: {said}" if error.filename is not None else said


def in_words(code: int) -> str:
    """Tell how a process ended; negative: by that signal."""
    if code >= 0:
        return f"ended with {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
