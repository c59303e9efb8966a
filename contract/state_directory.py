"""A directory for state of ours: tokens, stores, a broker's data. Nobody else looks into it.

And what becomes of state that is not to be trusted.
"""

from __future__ import annotations

import os
import shutil
import stat
import time
from pathlib import Path

from contract.errors import SettingError
from contract.exit_codes import WRONG_USE, of_os_error

_PRIVATE = 0o700
_KEPT_SET_ASIDE = 1


def prepare_state_directory(path: Path, variable: str) -> Path:
    """Make the directory, or check the one that exists; returns its absolute path.

    One of another owner is taken where a group of ours may write it, as volumes are mounted for a
    container's user; its mode is left as it is, for what is made in it is closed to others anyway.

    Raises: SettingError with the variable's name: no directory, not ours, not writable, or open to
    everybody; OSError: the machine lacks something, such as room.
    """
    path = path.absolute()
    try:
        path.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
        found = path.stat()
        is_ours = found.st_uid == os.geteuid()
        if not is_ours and not _is_shared_with_us(found):
            problem = "must belong to the user who runs this, or be writable by a group of theirs"
            raise SettingError(variable, problem, value=str(path))
        open_to = stat.S_IWOTH | (stat.S_IWGRP if is_ours else 0)
        if found.st_mode & open_to:
            problem = "must not be writable by others; chmod 700 it"
            raise SettingError(variable, problem, value=str(path))
        if is_ours and not found.st_mode & stat.S_IWUSR:
            raise SettingError(variable, "must be writable; chmod 700 it", value=str(path))
        if is_ours:
            # Readable by others is what a plain mkdir leaves behind.
            path.chmod(_PRIVATE)
        probe = path / f".writable-{os.getpid()}"
        probe.touch(mode=0o600)
        probe.unlink()
    except FileExistsError:
        raise SettingError(variable, "must be a directory", value=str(path)) from None
    except OSError as error:
        if of_os_error(error) != WRONG_USE:
            raise
        problem = f"cannot be made or written: {error.strerror}"
        raise SettingError(variable, problem, value=str(path)) from error
    return path


def _is_shared_with_us(found: os.stat_result) -> bool:
    ours = {os.getegid(), *os.getgroups()}
    return bool(found.st_mode & stat.S_IWGRP) and found.st_gid in ours


def set_aside(path: Path) -> Path | None:
    """Move a directory that is not to be trusted out of the way; the last one moved is kept."""
    if not path.exists():
        return None
    old = sorted(path.parent.glob(f"{path.name}.set-aside-*"))
    for each in old[: len(old) + 1 - _KEPT_SET_ASIDE]:
        shutil.rmtree(each, ignore_errors=True)
    target = path.with_name(f"{path.name}.set-aside-{time.time_ns()}")
    path.rename(target)
    return target
