"""Where the copy lies: its one writer, and what is set aside.

In the directory: `writer.lock`, held by the process that writes; `copy/`, LMDB's own files;
`copy.set-aside-*`, the last copy that was not to be trusted; `unsynced` and `damaged`, notes for
the next start.

Commits are not forced to the disk, for all of it can be made again. A killed process loses
nothing by that; a machine that goes down may leave pages behind that do not fit together, which
LMDB does not see. So `unsynced` has the machine's boot id for as long as the copy is written, and
a copy that was being written in another boot is not to be trusted.
"""

from __future__ import annotations

import fcntl
import logging
import os
import stat
from pathlib import Path

import lmdb

from api.view.copy.errors import DIRECTORY_VARIABLE, CopyInUse
from contract.state_directory import set_aside

log = logging.getLogger(__name__)

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boot_id() -> str | None:
    """Name this boot of the machine; None where the system does not."""
    try:
        return _BOOT_ID.read_text().strip() or None
    except OSError:
        return None


class ReadPlace:
    """The directory of a copy, which another process writes."""

    def __init__(self, directory: Path) -> None:
        self.copy = directory / "copy"
        self._damaged = directory / "damaged"

    def note_damage(self) -> None:
        """Have the copy set aside at the next start."""
        self._damaged.touch(mode=0o600)

    def end_unsynced(self) -> None:
        """Note that all is on the disk: its writer's part."""

    def release(self) -> None:
        """Let another process write it: its writer's part."""


class CopyPlace(ReadPlace):
    """The directory of a copy, which this process alone writes."""

    def __init__(self, directory: Path) -> None:
        """Make it and take its lock. Raises: CopyInUse; OSError."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        super().__init__(directory)
        self._unsynced = directory / "unsynced"
        self._lock = os.open(
            directory / "writer.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            pid = os.pread(self._lock, 32, 0).decode("ascii", "replace").strip()
            os.close(self._lock)
            raise CopyInUse(
                f"{directory} is written by another process (pid {pid or 'unknown'}): end it, or "
                f"give each its own {DIRECTORY_VARIABLE}"
            ) from None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, b"%d\n" % os.getpid(), 0)

    def release(self) -> None:
        """Let another process write it."""
        os.close(self._lock)

    def complaint(self) -> str | None:
        """Say why the copy's files are not to be trusted, before they are opened."""
        if self._damaged.exists():
            return "it was found damaged"
        try:
            written_in = self._unsynced.read_text().strip()
        except FileNotFoundError:
            return None
        if written_in != boot_id():
            return "the machine went down, or was another one, while it was written"
        return None

    def make(self) -> None:
        """Make the directory of LMDB's files. Raises: OSError.

        LMDB gives it the mode of its files, with which nobody but root gets into it; those that
        were made so are repaired.
        """
        self.copy.mkdir(mode=0o700, exist_ok=True)
        if not self.copy.stat().st_mode & stat.S_IXUSR:
            self.copy.chmod(0o700)

    def begin_unsynced(self) -> bool:
        """Note that commits are not forced to the disk; False: they must be."""
        boot = boot_id()
        if boot is None:
            return False
        note = os.open(self._unsynced, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.write(note, boot.encode())
            os.fsync(note)
        finally:
            os.close(note)
        self._sync_names()
        return True

    def end_unsynced(self) -> None:
        """Note that all is on the disk."""
        self._unsynced.unlink(missing_ok=True)

    def set_aside(self, complaint: str) -> None:
        """Move the copy out of the way; the last one moved is kept."""
        log.warning("the reader's copy %s is built again: %s", self.copy, complaint)
        set_aside(self.copy)
        self._sync_names()
        self._unsynced.unlink(missing_ok=True)
        self._damaged.unlink(missing_ok=True)

    def _sync_names(self) -> None:
        names = os.open(self.copy.parent, os.O_RDONLY)
        try:
            os.fsync(names)
        finally:
            os.close(names)


def fill_up(environment: lmdb.Environment) -> None:
    """Have the file as long as its pages count, so that a shorter one is a damaged one.

    Pages at the end that a transaction took and gave back are counted and never written.
    """
    path, length = _length(environment)
    if path.stat().st_size < length:
        os.truncate(path, length)


def is_cut_off(environment: lmdb.Environment) -> bool:
    """Return whether the file is shorter than its pages: reading it would kill the process."""
    path, length = _length(environment)
    return path.stat().st_size < length


def _length(environment: lmdb.Environment) -> tuple[Path, int]:
    pages = environment.info()["last_pgno"] + 1
    return Path(environment.path()) / "data.mdb", pages * environment.stat()["psize"]
