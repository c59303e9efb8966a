"""One partition of a view in RocksDB: rows, marker, birth record and changelog offset, as one.

Everything a transaction changes is written by one WriteBatch, so the directory is always some
transaction's end; how old does not matter, the changelog brings it up to date.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import rocksdict

from contract.changelog import BIRTH_KEY, MARKER_KEY, Marker, decode_marker
from contract.view import Row, Update, View
from stream_app import metrics
from stream_app.store.rocksdb_log_check import check_logs

log = logging.getLogger(__name__)

#: Faust's own key for the changelog offset up to which the store is written.
OFFSET_KEY = b"__faust\0offset__"
#: Whose rows these are: birth records of partitions can be alike to the byte.
PARTITION_KEY = b"\x00partition"
#: There, and not empty, from the first record that a recovery writes until its last.
RECOVERING_KEY = b"\x00recovering"
#: A store whose damage was seen while it was open is marked with this file, and set aside at
#: the next start.
DAMAGED_FILE = "DAMAGED"
_FIRST_ROW_KEY = b"\x01"
_KEPT_SET_ASIDE = 1
#: Ends of an "IO error: ..." of RocksDB's, or of Python's own, that say nothing against the files.
#: Not just "lock": damage is told as "block checksum mismatch", and every message holds the path.
_NO_DAMAGE = ("/LOCK: ", "No space left on device", "Too many open files")


def open_database(
    view: View, path: Path, *, block_cache_bytes: int, write_buffer_bytes: int
) -> Any:
    """Open or create the RocksDB of a view's partition; one that is damaged is set aside.

    Reads all of it, a quarter of a second for 250,000 rows: what is damaged shows now, not when a
    row is next touched. Returns a rocksdict.Rdict in raw mode (bytes to bytes).
    """
    if (path / DAMAGED_FILE).exists():
        _distrust(path, "it was found damaged")
    database = None
    try:
        check_logs(path)
        database = _open(path, block_cache_bytes, write_buffer_bytes)
        if is_recovering(database) or adds_up(view, database):
            return database
        complaint = "its rows do not add up to what its marker counts"
    except Exception as error:
        complaint = str(error)
        if _says_nothing_of_the_files(complaint):
            raise
    if database is not None:
        close_database(database)
    # The last reference: RocksDB's lock goes with it, even where closing failed.
    database = None
    _distrust(path, complaint)
    return _open(path, block_cache_bytes, write_buffer_bytes)


def close_database(database: Any) -> None:
    """Close a database, whatever it says: what it holds is in the changelog too.

    Closing writes what is in memory, and fails with "block checksum mismatch" where RocksDB has
    meanwhile met damage of its own accord; Faust takes the "lock" of that for a lock to wait for.
    """
    try:
        database.close()
    except Exception as error:
        log.warning("closing a local store: %s", error)


def is_recovering(database: Any) -> bool:
    """Return whether a recovery into this database was interrupted: it is no transaction's end."""
    return bool(database.get(RECOVERING_KEY))


def adds_up(view: View, database: Any) -> bool:
    """Return whether the rows hold as many readings as the marker counts; reads all of it.

    RocksDB sees a flipped bit by its checksums. It does not see that a write-ahead log is gone
    whole from before another one: then batches are missing, and their readings with them.
    """
    marker = database.get(MARKER_KEY)
    readings = view.readings(rows_of(database))
    return readings == (0 if marker is None else decode_marker(marker).counted)


def rows_of(database: Any) -> Iterator[tuple[bytes, bytes]]:
    """Go through all rows."""
    # Our own keys are before all others, but for Faust's one.
    items = database.items(from_key=_FIRST_ROW_KEY)
    return (item for item in items if item[0] != OFFSET_KEY)


def _distrust(path: Path, complaint: str) -> None:
    log.warning("the local store %s is set aside: %s", path.name, complaint)
    metrics.STORES_SET_ASIDE.inc()
    set_aside(path)


def _says_nothing_of_the_files(message: str) -> bool:
    return message.startswith(("IO error: ", "[Errno ")) and any(
        end in message for end in _NO_DAMAGE
    )


def set_aside(path: Path) -> Path | None:
    """Move a store that is not to be trusted out of the way; the last one moved is kept."""
    if not path.exists():
        return None
    old = sorted(path.parent.glob(f"{path.name}.set-aside-*"))
    for each in old[: len(old) + 1 - _KEPT_SET_ASIDE]:
        shutil.rmtree(each, ignore_errors=True)
    target = path.with_name(f"{path.name}.set-aside-{time.time_ns()}")
    path.rename(target)
    return target


def _open(path: Path, block_cache_bytes: int, write_buffer_bytes: int) -> Any:
    options = rocksdict.Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_max_open_files(256)
    options.set_write_buffer_size(write_buffer_bytes)
    options.set_max_write_buffer_number(3)
    options.set_keep_log_file_num(2)
    table = rocksdict.BlockBasedOptions()
    table.set_bloom_filter(10, block_based=False)
    table.set_block_cache(rocksdict.Cache(block_cache_bytes))
    options.set_block_based_table_factory(table)
    return rocksdict.Rdict(str(path), options=options)


class PartitionStore:
    """The rows of one partition on disk."""

    def __init__(self, database: Any, path: Path) -> None:
        """Wrap an open database."""
        self._database = database
        self.path = path

    def get(self, keys: list[bytes]) -> list[bytes | None]:
        """Return the stored values, None where there is none, in the order of the keys."""
        return self._database.get(keys) if keys else []

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

    def is_recovering(self) -> bool:
        """Return whether a recovery of it was interrupted."""
        return is_recovering(self._database)

    def end_recovery(self, verified_by: View | None) -> bool:
        """Note that it has all of the changelog; False where the view says that it does not."""
        if verified_by is not None and not adds_up(verified_by, self._database):
            return False
        self._database.put(RECOVERING_KEY, b"")
        return True

    def mark_damaged(self) -> None:
        """Have the store set aside at the next start."""
        (self.path / DAMAGED_FILE).touch()
