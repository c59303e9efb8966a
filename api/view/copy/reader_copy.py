"""What the copy of any view is: opened by one who writes, read in snapshots by many."""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, ClassVar, Generic, Self

import lmdb

from api.view.copy import positions
from api.view.copy.commit import Commit
from api.view.copy.errors import CopyDamaged, CopyError
from api.view.copy.lmdb_errors import closed_unless_whole, named, named_errors, opened
from api.view.copy.place import CopyPlace, ReadPlace, fill_up, is_cut_off
from api.view.copy.snapshot import Shown_co, Snapshot
from contract.changelog import Marker

log = logging.getLogger(__name__)

_CLOSE_SECONDS = 5.0


class ReaderCopy(ABC, Generic[Shown_co]):
    """A copy. One thread writes at a time; any thread takes snapshots."""

    #: Raise it with every change of what is written.
    format: ClassVar[int]
    #: A named tuple of its databases; one is `about`, which says what it is a copy of.
    databases: ClassVar[type[Any]]

    def __init__(
        self, place: ReadPlace, environment: lmdb.Environment, identity: str, *, is_synced: bool
    ) -> None:
        """Wrap an open environment; `open` and `open_to_read` make one."""
        self._place = place
        self._environment = environment
        self._identity = f"{self.format} {identity}".encode()
        self._is_synced = is_synced
        #: Whether another process writes it.
        self._is_shared: bool = environment.flags()["readonly"]
        open_db, is_new = environment.open_db, not self._is_shared
        names = self.databases._fields
        self._databases = self.databases(*(open_db(n.encode(), create=is_new) for n in names))
        self._writer = threading.Lock()
        is_of = self._identity if self._is_shared else None
        self._applied = positions.AppliedOffsets(self._databases.about, is_of)
        self._snapshots = 0
        self._is_closed = False
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)

    @abstractmethod
    def _apply(self, transaction: Any, commits: Sequence[Commit]) -> None:
        """Write the rows of commits. Raises: CorruptRecord, lmdb.Error."""

    @abstractmethod
    def _snapshot_of(self, transaction: Any, applied: Sequence[int]) -> Shown_co:
        """Return what readers ask, as of a transaction in which these offsets are applied."""

    def _forget(self, transaction: Any) -> None:
        """Forget what is kept in memory of rows that are all removed."""

    @classmethod
    def open(cls, directory: Path, identity: str, *, map_bytes: int) -> Self:
        """Open the copy, or make it; one that is not to be trusted is set aside.

        `identity` says what it is a copy of; `map_bytes` bounds its file.
        Raises: CopyInUse, CopyFull; OSError.
        """
        place = CopyPlace(directory)
        try:
            complaint = place.complaint()
            if complaint is None:
                try:
                    return cls._opened(place, identity, map_bytes)
                except CopyDamaged as error:
                    complaint = str(error)
            place.set_aside(complaint)
            return cls._opened(place, identity, map_bytes)
        except BaseException:
            place.release()
            raise

    @classmethod
    def _opened(cls, place: CopyPlace, identity: str, map_bytes: int) -> Self:
        is_synced = not place.begin_unsynced()
        place.make()
        with named_errors(place):
            environment = opened(place, cls.databases, map_bytes, mode=0o600, sync=is_synced)
            with closed_unless_whole(environment):
                if is_cut_off(environment):
                    raise CopyDamaged("its file is cut off")
                # Slots of processes that died with a snapshot open.
                environment.reader_check()
                copy = cls(place, environment, identity, is_synced=is_synced)
                copy._check_identity()
            return copy

    @classmethod
    def open_to_read(cls, directory: Path, identity: str, *, map_bytes: int) -> Self:
        """Open a copy that another process writes. Raises: CopyError; OSError."""
        place = ReadPlace(directory)
        with named_errors(place):
            environment = opened(place, cls.databases, map_bytes, readonly=True, create=False)
            with closed_unless_whole(environment):
                return cls(place, environment, identity, is_synced=True)

    def _check_identity(self) -> None:
        with self._environment.begin(write=True) as transaction:
            found = transaction.get(positions.IDENTITY_KEY, db=self._databases.about)
            if found is None:
                self._set_identity(transaction)
            elif found != self._identity:
                raise CopyDamaged("it is of another view, or of another format")
        fill_up(self._environment)

    def _set_identity(self, transaction: Any) -> None:
        transaction.put(positions.IDENTITY_KEY, self._identity, db=self._databases.about)

    def positions(self) -> dict[int, int]:
        """Return the changelog offset to continue at, of each partition that has one."""
        return {partition: position for partition, (position, _) in self._stored().items()}

    def markers(self) -> dict[int, Marker]:
        """Return the marker of each partition's last commit."""
        return {partition: marker for partition, (_, marker) in self._stored().items()}

    def _stored(self) -> dict[int, tuple[int, Marker]]:
        with self._reading() as transaction:
            return positions.positions(transaction, self._databases.about)

    def births(self) -> dict[int, bytes]:
        """Return the birth record of each partition that has one."""
        with self._reading() as transaction:
            return positions.births(transaction, self._databases.about)

    def set_birth(self, partition: int, record: bytes) -> None:
        """Keep a partition's birth record."""
        with self._writing() as transaction:
            positions.extend(transaction, self._databases.about, partition + 1)
            positions.set_birth(transaction, self._databases.about, partition, record)

    def set_whole(self, is_whole: bool) -> None:
        """Note whether readers in other processes may be shown the rows."""
        with self._writing() as transaction:
            positions.set_whole(transaction, self._databases.about, is_whole)

    def forget_dead_readers(self) -> None:
        """Free the room that snapshots of processes that were killed have held."""
        self._environment.reader_check()

    def extend(self, partitions: int) -> None:
        """Know of at least so many partitions: applied offsets have an entry for each."""
        with self._writing() as transaction:
            positions.extend(transaction, self._databases.about, partitions)

    def write(self, commits: Sequence[Commit]) -> None:
        """Apply commits as one: readers see all of them or none.

        Raises: CorruptRecord; CopyFull, CopyDamaged: nothing was written.
        """
        about = self._databases.about
        count = max((commit.partition + 1 for commit in commits), default=0)
        with self._writing() as transaction:
            positions.extend(transaction, about, count)
            for partition, _, marker, next_position in commits:
                positions.set_position(transaction, about, partition, next_position, marker)
            self._apply(transaction, commits)

    def reset(self) -> None:
        """Forget all rows, positions and births; snapshots that are open keep them."""
        with self._writing() as transaction:
            self._forget(transaction)
            for database in self._databases:
                transaction.drop(database, delete=False)
            self._set_identity(transaction)

    def snapshot(
        self, check: Callable[[], None] = lambda: None
    ) -> AbstractContextManager[Shown_co]:
        """Give what readers ask, as of when it is entered; in one thread at a time, not for long.

        While one is open, room that later commits free is not used again. Raises, when it is
        entered: CopyBusy, CopyDamaged, CopyError where the copy is closed, what `check` raises.
        """
        return Snapshot(self._begin, self._end, self._shown, check)

    def _shown(self, transaction: Any) -> Shown_co:
        return self._snapshot_of(transaction, self._applied.of(transaction))

    def _begin(self) -> Any:
        with self._lock:
            self._check_open()
            self._snapshots += 1
        try:
            return self._environment.begin()
        except lmdb.Error as error:
            self._end(None, None)
            raise named(error, self._place) from error

    def _end(self, transaction: Any, error: BaseException | None) -> None:
        if transaction is not None:
            transaction.abort()
        with self._lock:
            self._snapshots -= 1
            if self._is_closed:
                self._changed.notify_all()
        if isinstance(error, lmdb.Error):
            raise named(error, self._place) from error

    def close(self) -> None:
        """Write what is not on the disk yet, once open snapshots have ended; then let it go."""
        with self._writer, self._changed:
            if self._is_closed:
                return
            self._is_closed = True
            is_idle = self._changed.wait_for(lambda: not self._snapshots, _CLOSE_SECONDS)
            if not self._is_synced:
                self._environment.sync(True)
                self._place.end_unsynced()
            if is_idle:
                self._environment.close()
            else:
                log.warning("the reader's copy is left open: %d snapshots", self._snapshots)
            self._place.release()

    def _reading(self) -> AbstractContextManager[Any]:
        return Snapshot(self._begin, self._end, lambda transaction: transaction, lambda: None)

    @contextmanager
    def _writing(self) -> Iterator[Any]:
        with self._writer:
            self._check_open()
            with named_errors(self._place):
                with self._environment.begin(write=True) as transaction:
                    yield transaction
                fill_up(self._environment)

    def _check_open(self) -> None:
        if self._is_closed:
            raise CopyError("the reader's copy is closed")
