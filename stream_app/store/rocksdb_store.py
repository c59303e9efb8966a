"""One partition of a view in RocksDB: rows, marker, birth record and changelog offset, as one.

Everything a transaction changes is written by one WriteBatch, so the directory is always some
transaction's end; how old does not matter, the changelog brings it up to date.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import rocksdict

from contract.changelog import BIRTH_KEY, MARKER_KEY, Marker, decode_marker
from contract.view import Row, Update, View
from stream_app.store.database import DAMAGED_FILE, says_nothing_of_the_files

Asked = ParamSpec("Asked")
Answer = TypeVar("Answer")

#: Faust's own key for the changelog offset up to which the store is written.
OFFSET_KEY = b"__faust\0offset__"
#: Whose rows these are: birth records of partitions can be alike to the byte.
PARTITION_KEY = b"\x00partition"
#: There, and not empty, from the first record that a recovery writes until its last.
RECOVERING_KEY = b"\x00recovering"
_FIRST_ROW_KEY = b"\x01"
#: What a kill takes away is no more, and no older: the next start reads so much of the changelog
#: again. Less than the five minutes for which compaction leaves a changelog as it is: the last
#: record that a store has then still stands where it stood (changelog/continuation.py).
FLUSH_ROWS, FLUSH_SECONDS = 20_000, 240.0


def is_recovering(database: Any) -> bool:
    """Return whether a recovery into this database was interrupted: it is no transaction's end."""
    return bool(database.get(RECOVERING_KEY))


def adds_up(view: View, database: Any) -> bool:
    """Return whether the rows hold as many readings as the marker counts; reads all of it."""
    marker = database.get(MARKER_KEY)
    readings = view.readings(rows_of(database))
    return readings == (0 if marker is None else decode_marker(marker).counted)


def rows_of(database: Any) -> Iterator[tuple[bytes, bytes]]:
    """Go through all rows."""
    # Our own keys are before all others, but for Faust's one.
    items = database.items(from_key=_FIRST_ROW_KEY)
    return (item for item in items if item[0] != OFFSET_KEY)


def _marks_damage(method: Callable[Asked, Answer]) -> Callable[Asked, Answer]:
    """Mark the store where its files are the reason for a failure.

    If the next start trusted it, it would end every process.
    """

    @wraps(method)
    def marking(*arguments: Asked.args, **named: Asked.kwargs) -> Answer:
        try:
            return method(*arguments, **named)
        except rocksdict.DbClosedError:
            raise
        except Exception as error:
            if not says_nothing_of_the_files(str(error)):
                store: Any = arguments[0]
                store.mark_damaged()
            raise

    return marking


class PartitionStore:
    """The rows of one partition on disk."""

    def __init__(self, database: Any, path: Path) -> None:
        self._database = database
        self.path = path
        self._flushed_at, self._unflushed = time.monotonic(), 0

    @_marks_damage
    def get(self, keys: list[bytes]) -> list[bytes | None]:
        """Return the stored values, None where there is none, in the order of the keys."""
        return self._database.get(keys) if keys else []

    @_marks_damage
    def marker(self) -> Marker | None:
        """Return the marker of the last transaction that the store has."""
        value = self._database.get(MARKER_KEY)
        return None if value is None else decode_marker(value)

    def birth(self) -> bytes | None:
        """Return the birth record's bytes."""
        return self._database.get(BIRTH_KEY)  # type: ignore[no-any-return]

    def partition(self) -> int | None:
        """Return the partition whose changelog the store was written from."""
        value = self._database.get(PARTITION_KEY)
        return None if value is None else int(value)

    def changelog_offset(self) -> int | None:
        """Return the offset of the last changelog record that the store has."""
        value = self._database.get(OFFSET_KEY)
        return None if value is None else int(value)

    @_marks_damage
    def look_for(
        self, start: bytes, look_on: Callable[[bytes], bytes | None], rows: int, looks: int
    ) -> tuple[list[Row], bytes | None]:
        """Look through a stretch of the rows: those are wanted of which `look_on` returns None.

        Else it returns where to look next. Ends after so many rows or looks; returns the rows, and
        where the next stretch starts; None: it was the last one.
        """
        found: list[Row] = []
        at = self._database.iter()
        at.seek(start)
        while at.valid():
            key = at.key()
            if key == OFFSET_KEY:
                at.next()
                continue
            if not looks or len(found) == rows:
                return found, key
            following = look_on(key)
            if following is None:
                found.append((key, at.value()))
                at.next()
            else:
                looks -= 1
                at.seek(following)
        # Damage ends it too.
        at.status()
        return found, None

    @_marks_damage
    def write(self, updates: list[Update], changelog_offset: int) -> None:
        """Write all updates and the changelog offset as one, or nothing."""
        batch = rocksdict.WriteBatch(raw_mode=True)
        put = batch.put
        for key, value in updates:
            if value is None:
                batch.delete(key)
            else:
                put(key, value)
        put(OFFSET_KEY, b"%d" % changelog_offset)
        self._database.write(batch)
        self._unflushed += len(updates)
        if self._unflushed > FLUSH_ROWS or time.monotonic() - self._flushed_at > FLUSH_SECONDS:
            self._flush()

    def _flush(self) -> None:
        """Begin to write to the disk what is in memory."""
        self._flushed_at, self._unflushed = time.monotonic(), 0
        self._database.flush(False)

    def is_recovering(self) -> bool:
        """Return whether a recovery of it was interrupted."""
        return is_recovering(self._database)

    @_marks_damage
    def end_recovery(self, verified_by: View | None) -> bool:
        """Note that it has all of the changelog; False where the view says that it does not."""
        if verified_by is not None and not adds_up(verified_by, self._database):
            return False
        self._database.put(RECOVERING_KEY, b"")
        self._flush()
        return True

    def mark_damaged(self) -> None:
        """Have the store set aside at the next start."""
        # Where that cannot be written, the next start meets the damage again.
        with suppress(OSError):
            (self.path / DAMAGED_FILE).touch()
