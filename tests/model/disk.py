"""A simulated disk below the real PartitionStore: batches that can be lost, damage, old copies."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from contract.changelog import RESERVED_PREFIX
from contract.view import Update
from stream_app.store.rocksdb_store import OFFSET_KEY, PartitionStore

_NOWHERE = Path("/nonexistent")
#: Batches of which RocksDB makes a table: those after the last table can be lost.
FLUSHED_AFTER = 4
SOUND, NOTHING_READABLE, TOTALS_UNREADABLE = "sound", "nothing readable", "totals unreadable"


class StoreDamaged(Exception):
    """RocksDB found a checksum that is wrong."""


class DiskIterator:
    """Goes through rows in the order of their keys, as rocksdict's does."""

    def __init__(self, data: dict[bytes, bytes]) -> None:
        self._data, self._keys, self._at = data, sorted(data), 0

    def seek(self, key: bytes) -> None:
        self._at = bisect_left(self._keys, key)

    def valid(self) -> bool:
        return self._at < len(self._keys)

    def key(self) -> bytes:
        return self._keys[self._at]

    def value(self) -> bytes:
        return self._data[self.key()]

    def next(self) -> None:
        self._at += 1

    def status(self) -> None:
        """Nothing has gone wrong."""


class Disk:
    """The RocksDB of one partition; answers as rocksdict does."""

    __slots__ = ("_undo", "data", "health", "is_marked")

    def __init__(self, data: dict[bytes, bytes] | None = None) -> None:
        self.data = data or {}
        self.health = SOUND
        self.is_marked = False
        #: What each batch that is not in a table yet has replaced.
        self._undo: list[dict[bytes, bytes | None]] = []

    def get(self, keys: Any) -> Any:
        if self.health is not SOUND:
            self._check(keys)
        if isinstance(keys, list):
            return list(map(self.data.get, keys))
        return self.data.get(keys)

    def _check(self, keys: Any) -> None:
        wanted = keys if isinstance(keys, list) else [keys]
        if self.health is NOTHING_READABLE or any(
            not key.startswith(RESERVED_PREFIX) and key != OFFSET_KEY for key in wanted
        ):
            raise StoreDamaged

    def items(self, from_key: bytes) -> Iterator[tuple[bytes, bytes]]:
        if self.health is not SOUND:
            raise StoreDamaged
        return ((key, self.data[key]) for key in sorted(self.data) if key >= from_key)

    def iter(self) -> DiskIterator:
        if self.health is not SOUND:
            raise StoreDamaged
        return DiskIterator(self.data)

    def put(self, key: bytes, value: bytes) -> None:
        self.write({key: value})

    def flush(self, wait: bool) -> None:
        self._undo.clear()

    def write(self, batch: Mapping[bytes, bytes | None]) -> None:
        """Write these values; None removes the row."""
        data = self.data
        if len(self._undo) == FLUSHED_AFTER:
            self._undo.clear()
        self._undo.append({key: data.get(key) for key in batch})
        for key, value in batch.items():
            if value is None:
                data.pop(key, None)
            else:
                data[key] = value

    def lose_what_is_in_no_table(self) -> None:
        """The process was killed."""
        for undo in reversed(self._undo):
            for key, value in undo.items():
                if value is None:
                    self.data.pop(key, None)
                else:
                    self.data[key] = value
        self._undo.clear()

    def has_more_than_tables(self) -> bool:
        return bool(self._undo)

    def copy(self) -> Disk:
        return Disk(dict(self.data))


class SimStore(PartitionStore):
    """The real store on a simulated disk; only what needs RocksDB's own classes differs."""

    def __init__(self, disk: Disk) -> None:
        super().__init__(disk, _NOWHERE)

    @property
    def data(self) -> dict[bytes, bytes]:
        """Everything stored."""
        data: dict[bytes, bytes] = self._database.data
        return data

    def write(self, updates: list[Update], changelog_offset: int) -> None:
        batch = dict(updates)
        batch[OFFSET_KEY] = b"%d" % changelog_offset
        self._database.write(batch)

    def mark_damaged(self) -> None:
        self._database.is_marked = True


class Directory:
    """What a worker's state directory has of a view."""

    def __init__(self) -> None:
        self.disks: dict[int, Disk] = {}

    def open(self, partition: int, fresh: bool) -> SimStore:
        """Open a partition's store; what is there is set aside when `fresh` or damaged."""
        disk = self.disks.get(partition)
        if disk is None or fresh or disk.is_marked or disk.health is NOTHING_READABLE:
            disk = self.disks[partition] = Disk()
        return SimStore(disk)
