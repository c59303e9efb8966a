"""Faust's tables on RocksDB: `app.tables["device_totals"][b"device_7"]` is its exact total.

There is one for each view: what it answers is the exact sum of a row, over the partitions that
this worker works on (a device is in one, unless it was published with other keys too). Read only,
for rows change in one commit with the marker. We open the stores: memory is bounded, and a damaged
store is set aside.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NoReturn

import faust
from faust.stores import rocksdb

from contract.decimals import Number
from contract.state_directory import set_aside
from contract.view import View
from stream_app.store.database import close_database, open_database
from stream_app.store.rocksdb_store import OFFSET_KEY, PartitionStore, rows_of


def refuse_write(*_: object) -> NoReturn:
    """Raise TypeError, before anything is sent to the changelog."""
    raise TypeError("the table is read only: only readings change totals, in one commit")


class PartitionedStore(rocksdb.Store):  # type: ignore[misc]
    """Faust's RocksDB store; Faust decides when partitions open and close."""

    def _open_for_partition(self, partition: int) -> Any:
        settings = self.app.settings
        return open_database(
            self.partition_path(partition),
            block_cache_bytes=settings.block_cache_bytes,
            write_buffer_bytes=settings.write_buffer_bytes,
        )

    def open_partition(self, partition: int, fresh: bool) -> PartitionStore:
        """Return a partition's store; when `fresh`, what is there is set aside first."""
        path = self.partition_path(partition)
        if fresh:
            database = self._dbs.pop(partition, None)
            if database is not None:
                # Its lock goes with it: whoever judged the store still holds a reference.
                close_database(database)
            set_aside(path)
        return PartitionStore(self._db_for_partition(partition), path)

    def close_partition(self, partition: int) -> None:
        """Close a store that Faust has not been given yet."""
        database = self._dbs.pop(partition, None)
        if database is not None:
            close_database(database)

    # What a table's lookups ask of its store.

    def _databases(self) -> list[Any]:
        owned = self.app.ownership.of[self.table.view]
        if owned.is_recovering:
            raise RuntimeError("the table is being recovered: no total is known now")
        return [self._db_for_partition(partition) for partition in list(owned.processors)]

    def _get(self, key: bytes) -> list[bytes] | None:
        if key.startswith(b"\0") or key == OFFSET_KEY:
            return None  # Ours and Faust's own.
        return [part for each in self._databases() if (part := each.get(key)) is not None] or None

    def _decode_value(self, parts: list[bytes]) -> Number:
        view = self.table.view
        return view.amount(view.merge(parts))[0]  # type: ignore[no-any-return]

    def _contains(self, key: bytes) -> bool:
        return self._get(key) is not None

    def _iterkeys(self) -> Iterator[bytes]:
        return iter({key for database in self._databases() for key, _ in rows_of(database)})

    def _iteritems(self) -> Iterator[tuple[bytes, Any]]:
        return ((key, self._get(key)) for key in self._iterkeys())

    def _itervalues(self) -> Iterator[Any]:
        return (self._get(key) for key in self._iterkeys())

    def _size(self) -> int:
        return sum(1 for _ in self._iterkeys())

    _set = _del = _clear = refuse_write


class ViewTable(faust.Table):  # type: ignore[misc]
    """A Table whose store is ours, and whose rows nobody writes but the commits."""

    #: Whose rows it has; set before anything is asked of it.
    view: View

    # Faust sends to the changelog in these, before the store is asked.
    on_key_set = on_key_del = on_clear = refuse_write

    def _new_store_by_url(self, url: Any) -> PartitionedStore:
        return PartitionedStore(
            url,
            self.app,
            self,
            table_name=self.name,
            key_type=self.key_type,
            key_serializer=self.key_serializer,
            value_serializer=self.value_serializer,
            value_type=self.value_type,
            loop=self.loop,
            options={"driver": "rocksdict"},
        )
