"""How much memory a process takes, without page cache: the one place that tests ask.

RSS counts the pages of mapped files, and the reader's copies are mapped files of any size. The
system takes those pages back when it needs them, so they are no memory that the process takes.
Linux tells them apart: RssAnon is the process's own, RssShmem what it shares and no file on a
disk has (a file in /dev/shm too); RssFile is page cache.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

#: A peak that matters lasts longer: what is made for it takes longer than that to be filled.
SAMPLE_SECONDS = 0.02


def with_children(pid: int) -> list[int]:
    """Return the ids of a process and of all that it has started: an API, with its follower."""
    return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]


def memory_of(*pids: int) -> int:
    """Return the bytes that processes take together, without page cache. Raises: OSError."""
    return sum(_own_kilobytes(pid) for pid in pids) * 1024


def _own_kilobytes(pid: int) -> int:
    fields = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    return sum(int(fields[name].split()[0]) for name in ("RssAnon", "RssShmem"))


class Highest:
    """The most that processes have taken since it was made, in bytes; looked at by a thread."""

    def __init__(self, *pids: int) -> None:
        self._pids = pids
        self.before = self._highest = memory_of(*pids)

    @property
    def bytes(self) -> int:
        """The most so far; processes that have ended no longer count."""
        self.look()
        return self._highest

    @property
    def growth(self) -> int:
        """How much more that is than at the beginning."""
        return self.bytes - self.before

    def look(self) -> None:
        try:
            self._highest = max(self._highest, memory_of(*self._pids))
        except (FileNotFoundError, ProcessLookupError, KeyError):
            # It has ended, or is a zombie, of which nothing of this is told.
            return


@contextmanager
def highest_memory(*pids: int) -> Iterator[Highest]:
    """Watch the memory of processes, without page cache, as long as this is entered."""
    highest, is_over = Highest(*pids), threading.Event()

    def watch() -> None:
        while not is_over.wait(SAMPLE_SECONDS):
            highest.look()

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    try:
        yield highest
    finally:
        is_over.set()
        watching.join()
        highest.look()
