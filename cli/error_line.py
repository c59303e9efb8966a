"""The one line in which the `energy` command tells an error."""

from __future__ import annotations

from contract.exit_codes import os_error_line

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


def one_line(error: Exception) -> str:
    """Tell an error in one line; one that nobody foresaw says its kind."""
    if isinstance(error, OSError):
        return os_error_line(error)
    text = " ".join(str(error).split())
    foreseen = type(error).__module__.partition(".")[0] in _ROOMS
    return text if foreseen else f"{type(error).__name__}: {text} (--debug shows where)"
