"""The directories that the server needs: ENERGY_HOME and, where it is elsewhere, the spool."""

from __future__ import annotations

import os
from pathlib import Path

from contract.errors import SettingError
from contract.state_directory import prepare_state_directory


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


def spool_directory(home: Path) -> Path:
    """Where large bodies are kept while they are in flight."""
    return home / "spool"
