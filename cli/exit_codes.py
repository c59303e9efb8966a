"""What the `energy` command ends with, and the one line an error is told in."""

from __future__ import annotations

from contract.errors import CorruptRecord, SettingError
from contract.exit_codes import FAILED, REFUSED, WRONG_USE, of_os_error, os_error_line

#: An error that a room defines says in its text what to do next.
_ROOMS = {
    "api",
    "cli",
    "contract",
    "kafka_io",
    "local_stack",
    "operations",
    "producer",
    "stream_app",
}


def exit_code_of(error: Exception) -> int:
    """Return the code a command ends with; errors of the rooms carry it as `exit_code`."""
    if isinstance(error, SettingError):
        return WRONG_USE
    if isinstance(error, CorruptRecord):
        return REFUSED
    if isinstance(error, OSError):
        return of_os_error(error)
    code = getattr(error, "exit_code", FAILED)
    return code if isinstance(code, int) else FAILED


def one_line(error: Exception) -> str:
    """Tell an error in one line; one that nobody foresaw says its kind."""
    if isinstance(error, OSError):
        return os_error_line(error)
    text = " ".join(str(error).split())
    foreseen = type(error).__module__.partition(".")[0] in _ROOMS
    return text if foreseen else f"{type(error).__name__}: {text} (--debug shows where)"
