"""Exit codes of the `energy` command, and the one line an error is told in.

0 done    2 wrong use, setting, missing part    75 restart me, or run me again
1 failed  3 a person must act                   130 Ctrl-C

SIGTERM: 0 for what runs until it is stopped, 75 for all else that it ends before its end.
"""

from __future__ import annotations

import signal

from contract.errors import CorruptRecord, SettingError

DONE = 0
FAILED = 1
WRONG_USE = 2
REFUSED = 3
RESTART_ME = 75
INTERRUPTED = 130

#: A part that ended so is not started again: it would end so again.
FINAL = {WRONG_USE, REFUSED}

#: An error that a room defines says in its text what to do next.
_ROOMS = {"api", "contract", "deploy", "producer", "stream_app"}


def exit_code_of(error: Exception) -> int:
    """Return the code a command ends with; errors of the rooms carry it as `exit_code`."""
    if isinstance(error, SettingError):
        return WRONG_USE
    if isinstance(error, CorruptRecord):
        return REFUSED
    code = getattr(error, "exit_code", FAILED)
    return code if isinstance(code, int) else FAILED


def in_words(code: int) -> str:
    """Tell how a process ended; negative: by that signal."""
    if code >= 0:
        return f"ended with {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"


def one_line(error: Exception) -> str:
    """Tell an error in one line; one that nobody foresaw says its kind."""
    text = " ".join(str(error).split())
    foreseen = type(error).__module__.partition(".")[0] in _ROOMS
    return text if foreseen else f"{type(error).__name__}: {text} (--debug shows where)"
