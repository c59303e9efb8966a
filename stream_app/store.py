"""One partition's RocksDB: part-totals, marker, birth record and changelog offset, as one.

Everything a transaction changes is written by one WriteBatch, so the directory is always some
transaction's end; how old does not matter, the changelog brings it up to date.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import rocksdict

from contract.changelog import BIRTH_KEY, MARKER_KEY, Marker, decode_marker

#: Faust's own key for the changelog offset up to which the store is written.
OFFSET_KEY = b"__faust\0offset__"
#: Whose totals these are: birth records of partitions can be alike to the byte.
PARTITION_KEY = b"\x00partition"
#: A store whose damage was seen while it was open is marked with this file, and set aside at
#: the next start.
DAMAGED_FILE = "DAMAGED"
_KEPT_SET_ASIDE = 1
#: Ends of RocksDB's "IO error: ..." that say nothing against the files. Not just "lock": damage
#: is told as "block checksum mismatch", and every message holds the path.
_NO_DAMAGE = ("/LOCK: ", "No space left on device", "Too many open files")


def open_database(path: Path, *, block_cache_bytes: int, write_buffer_bytes: int) -> Any:
    """Open or create the RocksDB of a partition; one that cannot be opened is set aside.

    Returns a rocksdict.Rdict in raw mode (bytes to bytes).
    """
    if (path / DAMAGED_FILE).exists():
        set_aside(path)
    try:
        return _open(path, block_cache_bytes, write_buffer_bytes)
    except Exception as error:
        if _says_nothing_of_the_files(str(error)):
            raise
        set_aside(path)
        return _open(path, block_cache_bytes, write_buffer_bytes)


def _says_nothing_of_the_files(message: str) -> bool:
    return message.startswith("IO error: ") and any(end in message for end in _NO_DAMAGE)


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
    """The totals of one partition on disk."""

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

    def write(self, updates: list[tuple[bytes, bytes]], changelog_offset: int) -> None:
        """Write all updates and the changelog offset as one, or nothing."""
        batch = rocksdict.WriteBatch(raw_mode=True)
        put = batch.put
        for key, value in updates:
            put(key, value)
        put(OFFSET_KEY, b"%d" % changelog_offset)
        self._database.write(batch)

    def mark_damaged(self) -> None:
        """Have the store set aside at the next start."""
        (self.path / DAMAGED_FILE).touch()
