"""ENERGY_HOME as the server needs it: private, ours, writable."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from contract.errors import SettingError
from contract.exit_codes import WRONG_USE, of_os_error

_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


def prepare_home(home: Path) -> Path:
    """Make the directory, or check the one there is; returns its absolute path.

    Raises: SettingError: no directory, not ours, writable by others, or not writable by us;
    OSError: the machine lacks something, such as room.
    """
    home = home.absolute()
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = home.stat()
        if found.st_uid != os.geteuid():
            raise SettingError("ENERGY_HOME", "must belong to us", value=str(home))
        if found.st_mode & _OTHERS_MAY_WRITE:
            raise SettingError(
                "ENERGY_HOME", "must not be writable by others (chmod 700)", value=str(home)
            )
        if not found.st_mode & stat.S_IWUSR or not os.access(home, os.W_OK | os.X_OK):
            raise SettingError("ENERGY_HOME", "must be writable", value=str(home))
        home.chmod(0o700)
        spool_directory(home).mkdir(mode=0o700, exist_ok=True)
    except FileExistsError:
        raise SettingError("ENERGY_HOME", "must be a directory", value=str(home)) from None
    except OSError as error:
        if of_os_error(error) != WRONG_USE:
            raise
        raise SettingError("ENERGY_HOME", str(error.strerror), value=str(home)) from None
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


def spool_directory(home: Path) -> Path:
    """Where large bodies are kept while they are in flight."""
    return home / "spool"
