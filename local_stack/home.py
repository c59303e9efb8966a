"""The directory that keeps local state: tokens, worker stores, the broker's data.

Reads and writes: ENERGY_HOME itself. Guarantees: it is a directory of ours that nobody else can
look into; one `energy up` at a time runs on it.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from contract.errors import SettingError
from contract.exit_codes import WRONG_USE, of_os_error
from local_stack.errors import DirectoryLocked

VARIABLE = "ENERGY_HOME"
_PRIVATE = 0o700
_WRITABLE_BY_OTHERS = 0o022


def open_home(path: Path) -> Path:
    """Make the directory, or check the one there is; returns its absolute path.

    Raises: SettingError: no directory, not ours, not writable, or open to others; OSError: the
    machine lacks something, such as room.
    """
    path = path.absolute()
    try:
        path.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
    except FileExistsError:
        raise SettingError(VARIABLE, "must be a directory", value=str(path)) from None
    except OSError as error:
        if of_os_error(error) != WRONG_USE:
            raise
        raise SettingError(
            VARIABLE, f"cannot be made: {error.strerror}", value=str(path)
        ) from error
    found = path.stat()
    if found.st_uid != os.geteuid():
        raise SettingError(VARIABLE, "must belong to the user who runs this", value=str(path))
    if not found.st_mode & stat.S_IWUSR:
        raise SettingError(VARIABLE, "must be writable; chmod 700 it", value=str(path))
    if found.st_mode & _WRITABLE_BY_OTHERS:
        raise SettingError(
            VARIABLE, "must not be writable by others; chmod 700 it", value=str(path)
        )
    try:
        # Readable by others is what a plain mkdir leaves behind; tokens live here.
        path.chmod(_PRIVATE)
        probe = path / f".writable-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        if of_os_error(error) != WRONG_USE:
            raise
        raise SettingError(
            VARIABLE, f"must be writable: {error.strerror}", value=str(path)
        ) from error
    return path


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
