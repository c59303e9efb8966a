"""Faust's table on RocksDB, opened by us: bounded memory, and a damaged store is set aside."""

from __future__ import annotations

from typing import Any

import faust
from faust.stores import rocksdb

from stream_app.store.rocksdb_store import PartitionStore, close_database, open_database, set_aside


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


class TotalsTable(faust.Table):  # type: ignore[misc]
    """A Table whose store is ours."""

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
