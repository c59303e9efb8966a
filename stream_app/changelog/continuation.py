"""Does a changelog continue where a local store ended, or has it lost what the store has?

A changelog can lose its end (a volume restored from a backup, an unclean election) and grow again,
by a fence alone: its length tells nothing. So the record that the store holds last must stand
where it stood. Compaction may have removed it, but only behind a newer marker. Then the readings
must be those that the store has counted, and its rows must add up to the changelog's marker: each
is then of a beginning of the same readings, so none can be too large. They must add up, too, where
the store is so old that the changelog may have forgotten which rows were removed since.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from contract.changelog import PROBE_KEY, Marker
from contract.errors import DoesNotFollow
from contract.view import View
from kafka_io.batches.chunk import Record
from stream_app.changelog.store_records import store_records
from stream_app.store.rocksdb_store import PartitionStore


class StoreDiffers(Exception):
    """A local store does not match its changelog; it is set aside and built again."""


#: Half of Kafka's delete.retention.ms, for which a changelog keeps which rows were removed.
REMOVALS_SECONDS = 12 * 3600


class Continuation:
    """One reading of a changelog into a store, from the store's last record on."""

    def __init__(self, view: View, store: PartitionStore, partition: int) -> None:
        """Begin where the store ended; its last record is read again."""
        self._view, self._store, self._partition = view, store, partition
        self.start = store.changelog_offset() or 0
        self._held = store.marker() if self.start else None
        self._is_proven = self._has_begun = self._held is None
        self._was_broken_off = store.is_recovering()
        self._removes, self._may_lack_removals = view.retention is not None, False

    def unproven(self, records: Sequence[Record]) -> Marker | None:
        """Look at the first records, before they are written.

        Returns the store's marker where they do not prove that this is its changelog: then the
        readings that it counts must still be there.
        """
        if self._has_begun or not records:
            return None
        self._has_begun, first = True, records[0]
        self._is_proven = (
            first.offset == self.start
            # Probes are all alike, and so are removed rows.
            and first.key != PROBE_KEY
            and first.value is not None
            and self._store.get([first.key or b""]) == [first.value]
        )
        self._may_lack_removals = self._removes and _is_long_ago(first)
        return None if self._is_proven else self._held

    def write(self, records: Sequence[Record]) -> None:
        """Write what the store lacks.

        Raises: StoreDiffers; DoesNotFollow where the changelog itself has such a commit;
        CorruptRecord where a record is not a row of the view.
        """
        if self._is_proven and self._held and records and records[0].offset == self.start:
            records = records[1:]
        try:
            store_records(self._view, self._store, self._partition, records)
        except DoesNotFollow as error:
            if self._has_passed_a_marker():
                raise
            raise StoreDiffers(f"after what it holds comes {error}") from error

    def _has_passed_a_marker(self) -> bool:
        return self._held is None or self._store.marker() != self._held

    def end(self) -> None:
        """End the reading: the store has all of its changelog now. Raises: StoreDiffers."""
        store = self._store
        if not self._is_proven and not self._has_passed_a_marker():
            raise StoreDiffers(f"the changelog lacks its last commit, of offset {self.start}")
        if not store.is_recovering():
            return
        verified = self._was_broken_off or self._may_lack_removals or not self._is_proven
        if not store.end_recovery(self._view if verified else None):
            raise StoreDiffers("it lacks some of what its changelog has")


def _is_long_ago(record: Record) -> bool:
    """Return whether a record may be older than what the changelog knows of removed rows."""
    return not 0 <= time.time() * 1000 - record.timestamp <= REMOVALS_SECONDS * 1000
