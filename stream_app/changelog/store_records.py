"""What recovery writes: changelog records into a store, looked at one by one before."""

from __future__ import annotations

from collections.abc import Sequence

from contract.changelog import (
    MARKER_KEY,
    PROBE_KEY,
    RESERVED_PREFIX,
    Marker,
    check_follows,
    decode_marker,
)
from contract.errors import CorruptRecord
from contract.view import Update, View
from kafka_io.batches.chunk import Record
from stream_app.errors import RestartNeeded
from stream_app.store.rocksdb_store import PARTITION_KEY, RECOVERING_KEY, PartitionStore

#: Changelog records written to the store at once.
WRITE_RECORDS = 50_000


def store_records(
    view: View, store: PartitionStore, partition: int, records: Sequence[Record]
) -> None:
    """Write changelog records to a store, with the offset of the last one but probes.

    One without a value removes a row, in a view that removes any. None is written beyond the end:
    the fence has made this worker the only writer. Reserved keys that this build does not know are
    kept, and read by nobody.
    Raises: CorruptRecord at what is no row of the view; DoesNotFollow at a commit of a writer
    that had lost the partition, or where the store is not of this changelog.
    """
    _check(view, store, records)
    offset = store.changelog_offset() or 0
    for at in range(0, len(records), WRITE_RECORDS):
        some = records[at : at + WRITE_RECORDS]
        updates: list[Update] = [(record.key or b"", record.value) for record in some]
        updates += [(PARTITION_KEY, b"%d" % partition), (RECOVERING_KEY, b"1")]
        # A probe would not tell later that the changelog continues where the store ended.
        offset = next((r.offset for r in reversed(some) if r.key != PROBE_KEY), offset)
        store.write(updates, offset)


def _is_reserved(record: Record) -> bool:
    return record.key is not None and record.key.startswith(RESERVED_PREFIX)


def _check(view: View, store: PartitionStore, records: Sequence[Record]) -> None:
    """Look at each row, and at each marker: it must follow the one before it."""
    is_row, removes = view.is_row, view.retention is not None
    before = store.marker()
    for record in records:
        if not _is_reserved(record):
            if record.value is None and removes and record.key:
                continue
            if not is_row(record.value or b""):
                raise CorruptRecord(f"no row of {view.name}: {(record.value or b'')[:64]!r}")
        elif record.key == MARKER_KEY:
            marker = decode_marker(record.value or b"")
            check_follows(before, marker)
            before = marker


def require_marker(store: PartitionStore, partition: int) -> Marker:
    """Return the marker of a recovered store. Raises: RestartNeeded, which never happens."""
    marker = store.marker()
    if marker is None:
        raise RestartNeeded(f"partition {partition}: no marker after recovery")
    return marker
