"""The directory that keeps local state: tokens, worker stores, the broker's data.

Reads and writes: ENERGY_HOME itself. Guarantees: it is a directory of ours that nobody else can
look into; one `energy up` at a time runs on it.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from contract.state_directory import prepare_state_directory
from local_stack.errors import DirectoryLocked

VARIABLE = "ENERGY_HOME"


def open_home(path: Path) -> Path:
    """Make ENERGY_HOME, or check the one that exists; returns its absolute path.

    Raises: SettingError, OSError.
    """
    return prepare_state_directory(path, VARIABLE)


@contextmanager
def only_one_on(home: Path, command: str = "up") -> Iterator[None]:
    """Hold the lock of `energy up`, or of another command, on this directory.

    Raises: DirectoryLocked.
    """
    name = command.split(maxsplit=1)[0]
    with (home / f"{name}.lock").open("a", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DirectoryLocked(
                f"another `energy {command}` runs on {home}: stop it, or give this one its own"
                " ENERGY_HOME"
            ) from None
        yield
