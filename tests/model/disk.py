"""A simulated disk below the real PartitionStore: batches that can be lost, damage, old copies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from contract.changelog import RESERVED_PREFIX
from contract.device_totals import DEVICE_TOTALS
from stream_app.store.rocksdb_store import OFFSET_KEY, PartitionStore, adds_up, is_recovering

_NOWHERE = Path("/nonexistent")
SOUND, NOTHING_READABLE, TOTALS_UNREADABLE = "sound", "nothing readable", "totals unreadable"


class StoreDamaged(Exception):
    """RocksDB found a checksum that is wrong."""


class Disk:
    """The RocksDB of one partition; answers as rocksdict does."""

    __slots__ = ("_undo", "data", "health", "is_marked")

    def __init__(self, data: dict[bytes, bytes] | None = None) -> None:
        self.data = data or {}
        self.health = SOUND
        self.is_marked = False
        #: What the last batch replaced: until it is on the platter it can be lost.
        self._undo: dict[bytes, bytes | None] = {}

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

    def put(self, key: bytes, value: bytes) -> None:
        self.write({key: value})

    def write(self, batch: dict[bytes, bytes]) -> None:
        get = self.data.get
        self._undo = {key: get(key) for key in batch}
        self.data.update(batch)

    def lose_last_batch(self) -> None:
        """The machine went down before the last batch was on the platter."""
        for key, value in self._undo.items():
            if value is None:
                self.data.pop(key, None)
            else:
                self.data[key] = value
        self._undo = {}

    def has_unsynced(self) -> bool:
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

    def write(self, updates: list[tuple[bytes, bytes]], changelog_offset: int) -> None:
        batch = dict(updates)
        batch[OFFSET_KEY] = b"%d" % changelog_offset
        self._database.write(batch)

    def mark_damaged(self) -> None:
        self._database.is_marked = True


class Directory:
    """A worker's state directory."""

    def __init__(self) -> None:
        self.disks: dict[int, Disk] = {}

    def open(self, partition: int, fresh: bool) -> SimStore:
        """Open a partition's store; what is there is set aside when `fresh` or damaged."""
        disk = self.disks.get(partition)
        if disk is None or fresh or disk.is_marked or not _is_sound(disk):
            disk = self.disks[partition] = Disk()
        return SimStore(disk)


def _is_sound(disk: Disk) -> bool:
    try:
        return is_recovering(disk) or adds_up(DEVICE_TOTALS, disk)
    except StoreDamaged:
        return False
