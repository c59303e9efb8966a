"""The copy on disk of a view in one version, as this process uses it.

One writer and many readers. What writes blocks, so it runs in a thread, one call after the other;
a call whose caller is cancelled is still finished before the next.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from api.errors import ViewNotRunning
from api.view.copy.commit import Commit
from api.view.copy.errors import CopyDamaged, CopyError
from api.view.copy.reader_copy import ReaderCopy
from api.view.followed_view import ViewUnusable
from api.view.reserved_keys import reserved_keys
from contract.changelog import Marker
from kafka_io.threads import in_thread

#: The time up to which the changelog was read is written down this often.
NOTED_SECONDS = 60.0
#: Keys that are looked at before other threads get their turn: less than 1 ms.
SLICE_KEYS = 5_000

Result = TypeVar("Result")
Shown = TypeVar("Shown")


class Stored(NamedTuple):
    """What a copy holds, by changelog partition: where to continue, and what was read there."""

    positions: dict[int, int]
    markers: dict[int, Marker]
    births: dict[int, bytes]


class KeptCopy(Generic[Shown]):
    """The copy of one version in one directory; opened when it is first needed."""

    def __init__(
        self, what: str, directory: Path, open_copy: Callable[[], ReaderCopy[Shown]]
    ) -> None:
        """Store the arguments; `what` it is a copy of, for errors."""
        self.what = what
        self.directory = directory
        self._open_copy = open_copy
        self._copy: ReaderCopy[Shown] | None = None
        self._is_closed = False
        self._one_call = threading.Lock()
        #: Its time of change is up to when the changelog was read.
        self._note = directory.with_name(directory.name + ".read-up-to")
        self._noted_at = 0.0
        #: Whether readers in other processes may be shown the rows; None: as it was left.
        self._is_whole: bool | None = None

    def snapshot(self, check: Callable[[], None]) -> AbstractContextManager[Shown]:
        """Give a snapshot of the view, to be checked once it is held; in any thread.

        Raises: Unavailable, here or when it is entered.
        """
        if self._copy is None:
            raise ViewNotRunning(f"{self.what} being loaded; try again in a second")
        return self._copy.snapshot(check)

    def bytes_on_disk(self) -> int:
        """Return the room that the copy takes."""
        try:
            files = [each.stat() for each in self.directory.glob("**/*") if each.is_file()]
        except OSError:  # One is being removed, or the directory is.
            return 0
        return sum(each.st_blocks * 512 for each in files)

    async def stored(self, partitions: int) -> Stored:
        """Return what the copy holds, opening it where it is not. Raises: ViewUnusable."""

        def stored(copy: ReaderCopy[Any]) -> Stored:
            copy.extend(partitions)
            return Stored(copy.positions(), copy.markers(), copy.births())

        return await self._alone(stored)

    async def write(
        self, births: Mapping[int, bytes], commits: Sequence[Commit], *, is_whole: bool = True
    ) -> None:
        """Write what a fetch brought, the commits together.

        Unless it `is_whole`, readers in other processes are shown nothing from now on, until
        `show`. Raises: CorruptRecord, ViewUnusable.
        """

        def write(copy: ReaderCopy[Any]) -> None:
            if not is_whole:
                self._set_whole(copy, False)
            for partition, birth in births.items():
                copy.set_birth(partition, birth)
            if commits:
                copy.write([_without_reserved(commit) for commit in commits])

        await self._alone(write)

    async def show(self) -> None:
        """Let readers in other processes be shown the rows. Raises: ViewUnusable."""
        await self._alone(lambda copy: self._set_whole(copy, True))

    async def forget_dead_readers(self) -> None:
        """Free the room that snapshots of processes that were killed have held."""
        copy = self._copy
        if copy is not None:
            await self._alone(lambda copy: copy.forget_dead_readers())

    def _set_whole(self, copy: ReaderCopy[Any], is_whole: bool) -> None:
        if self._is_whole is not is_whole:
            copy.set_whole(is_whole)
            self._is_whole = is_whole

    async def reset(self) -> None:
        """Forget all, to read the changelog from its start. Raises: ViewUnusable."""

        def reset(copy: ReaderCopy[Any]) -> None:
            copy.reset()
            self._is_whole = None
            self._note.touch(mode=0o600)

        await self._alone(reset)

    def read_up_to(self) -> float:
        """Return the time up to which all of the changelog was read; 0: nobody knows."""
        try:
            return self._note.stat().st_mtime
        except OSError:
            return 0.0

    def note_read_up_to_now(self) -> None:
        """Write down that the changelog is read up to now; does something once a minute."""
        now = time.monotonic()
        if now - self._noted_at > NOTED_SECONDS:
            self._noted_at = now
            self._note.touch(mode=0o600)

    async def close(self) -> None:
        """Close it once nobody reads it, which is waited for a while."""

        def close() -> None:
            with self._one_call:
                self._is_closed = True
                if self._copy is not None:
                    self._copy.close()

        await in_thread(close)

    async def _alone(self, call: Callable[[ReaderCopy[Shown]], Result]) -> Result:
        def run() -> Result:
            with self._one_call:
                return call(self._opened())

        try:
            return await in_thread(run)
        except CopyDamaged as error:
            # Opened again, it is set aside and built again.
            await in_thread(self._let_go)
            raise ViewUnusable(str(error)) from error
        except (CopyError, OSError) as error:
            raise ViewUnusable(str(error)) from error

    def _opened(self) -> ReaderCopy[Shown]:
        if self._is_closed:
            raise CopyError("the copy is closed")
        if self._copy is None:
            self._copy = self._open_copy()
            if not self._copy.positions():
                self._note.touch(mode=0o600)
        return self._copy

    def _let_go(self) -> None:
        with self._one_call:
            copy, self._copy = self._copy, None
            self._is_whole = None
            if copy is not None:
                copy.close()


def _without_reserved(commit: Commit) -> Commit:
    """Pass over keys of a later build whose value looks like a row. Raises: CorruptRecord."""
    keys, reserved = list(commit.rows), set[bytes]()
    for start in range(0, len(keys), SLICE_KEYS):
        reserved |= reserved_keys(keys[start : start + SLICE_KEYS])
    if not reserved:
        return commit
    kept = {key: value for key, value in commit.rows.items() if key not in reserved}
    return commit._replace(rows=kept)
