"""The directories that the server needs: ENERGY_HOME, the spool, and that of the view's copy."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from contract.errors import SettingError
from contract.state_directory import prepare_state_directory

VIEW_VARIABLE = "API_VIEW_DIR"
#: Each has a copy of its own: as many as one machine may run, and no disk full of them.
MOST_VIEWS = 64


def prepare_home(home: Path) -> Path:
    """Make ENERGY_HOME with its spool, or check the one that exists; returns its absolute path.

    Raises: SettingError, OSError.
    """
    home = prepare_state_directory(home, "ENERGY_HOME")
    spool_directory(home).mkdir(mode=0o700, exist_ok=True)
    return home


def prepare_spool(directory: Path) -> Path:
    """Make the directory of API_SPOOL_DIR, or check the one there is; returns its absolute path.

    Raises: SettingError: no directory, or not writable by us.
    """
    directory = directory.absolute()
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingError("API_SPOOL_DIR", str(error.strerror), value=str(directory)) from None
    if not os.access(directory, os.W_OK | os.X_OK):
        raise SettingError("API_SPOOL_DIR", "must be writable", value=str(directory))
    return directory


@contextmanager
def own_view_directory(directory: Path) -> Iterator[Path]:
    """Give one of the numbered directories of API_VIEW_DIR, for this process alone.

    The first that no other process has: who runs alone finds the copy it has left. Raises:
    SettingError, OSError.
    """
    directory = prepare_state_directory(directory, VIEW_VARIABLE)
    for number in range(MOST_VIEWS):
        own = directory / str(number)
        own.mkdir(mode=0o700, exist_ok=True)
        with (own / "api.lock").open("a", encoding="ascii") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield own
            return
    problem = f"{MOST_VIEWS} servers use it; give this one its own"
    raise SettingError(VIEW_VARIABLE, problem, value=str(directory))


def view_directory(home: Path) -> Path:
    """Where the copies of the views are."""
    return home / "view"


def spool_directory(home: Path) -> Path:
    """Where large bodies are kept while they are in flight."""
    return home / "spool"
