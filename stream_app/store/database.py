"""The RocksDB of a partition: how it is opened and closed, and when it is set aside.

It keeps no write-ahead log, because the changelog is that: what a kill takes away is the newest
batches, never some in between, and a start reads nothing of what is on the disk, however many
years that is. All stores of a process share one cache for reads.
"""

from __future__ import annotations

import logging
from functools import cache
from pathlib import Path
from typing import Any

import rocksdict

from contract.state_directory import set_aside
from stream_app import metrics
from stream_app.store.rocksdb_log_check import check_logs

log = logging.getLogger(__name__)

#: A store whose damage was seen while it was open is marked with this file, and set aside at
#: the next start.
DAMAGED_FILE = "DAMAGED"
#: Ends of an "IO error: ..." of RocksDB's, or of Python's own, that say nothing against the files.
#: Not just "lock": damage is told as "block checksum mismatch", and every message holds the path.
_NO_DAMAGE = ("/LOCK: ", "No space left on device", "Too many open files")


def open_database(path: Path, *, block_cache_bytes: int, write_buffer_bytes: int) -> Any:
    """Open or create the RocksDB of a partition; one that is damaged is set aside.

    Damage that RocksDB does not see at once shows by its checksums when a row is next touched; the
    store is then marked, and set aside at the next start. Returns a rocksdict.Rdict in raw mode
    (bytes to bytes).
    """
    complaint = _complaint(path)
    if complaint is None:
        try:
            check_logs(path)
            return _open(path, block_cache_bytes, write_buffer_bytes)
        except Exception as error:
            complaint = str(error)
            if says_nothing_of_the_files(complaint):
                raise
    log.warning("the local store %s is set aside: %s", path.name, complaint)
    metrics.STORES_SET_ASIDE.inc()
    set_aside(path)
    return _open(path, block_cache_bytes, write_buffer_bytes)


def _complaint(path: Path) -> str | None:
    """Say what speaks against a store before it is opened, None where nothing does."""
    if (path / DAMAGED_FILE).exists():
        return "it was found damaged"
    # RocksDB takes it for a new store, and removes its tables.
    if any(path.glob("MANIFEST-*")) and not (path / "CURRENT").exists():
        return "its file CURRENT is gone"
    return None


def close_database(database: Any) -> None:
    """Close a database, whatever it says: what it holds is in the changelog too.

    Closing writes what is in memory, and fails with "block checksum mismatch" where RocksDB has
    meanwhile met damage of its own accord; Faust takes the "lock" of that for a lock to wait for.
    """
    try:
        database.close()
    except Exception as error:
        log.warning("closing a local store: %s", error)


def says_nothing_of_the_files(message: str) -> bool:
    """Whether what RocksDB says is no reason to distrust a store's files."""
    return message.startswith(("IO error: ", "[Errno ")) and any(
        end in message for end in _NO_DAMAGE
    )


@cache
def _shared_cache(size: int) -> Any:
    return rocksdict.Cache(size)


def _open(path: Path, block_cache_bytes: int, write_buffer_bytes: int) -> Any:
    options = rocksdict.Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_max_open_files(256)
    options.set_write_buffer_size(write_buffer_bytes)
    options.set_max_write_buffer_number(3)
    options.set_keep_log_file_num(2)
    # Where most rows lie, and few are written again.
    options.set_bottommost_compression_type(rocksdict.DBCompressionType.zstd())
    table = rocksdict.BlockBasedOptions()
    table.set_bloom_filter(10, block_based=False)
    table.set_block_cache(_shared_cache(block_cache_bytes))
    options.set_block_based_table_factory(table)
    # Named, or what a store was made with counts in place of these options.
    database = rocksdict.Rdict(str(path), options, column_families={"default": options})
    without_log = rocksdict.WriteOptions()
    # A property, whatever the package's own types say.
    without_log.disable_wal = True  # type: ignore[method-assign, assignment]
    database.set_write_options(without_log)
    return database
