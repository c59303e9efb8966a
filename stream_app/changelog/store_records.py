"""What recovery writes: changelog records into a store, looked at one by one before."""

from __future__ import annotations

from collections.abc import Sequence

from contract.changelog import MARKER_KEY, RESERVED_PREFIX, Marker, check_follows, decode_marker
from contract.errors import CorruptRecord, DoesNotFollow
from contract.view import View
from kafka_io.batches.chunk import Record
from stream_app.errors import RestartNeeded
from stream_app.store.rocksdb_store import PARTITION_KEY, RECOVERING_KEY, PartitionStore

#: Changelog records written to the store at once.
WRITE_RECORDS = 50_000


def start_offset(store: PartitionStore) -> int:
    """Return the first changelog offset that a trusted store does not have."""
    offset = store.changelog_offset()
    return 0 if offset is None else offset + 1


def store_records(
    view: View, store: PartitionStore, partition: int, records: Sequence[Record]
) -> None:
    """Write changelog records to a store, with the offset up to which it then has them.

    Ours are never deletions, and none is written beyond the end: the fence has made this worker
    the only writer. Reserved keys that this build does not know are kept, and read by nobody.
    Raises: CorruptRecord at what is no row of the view; DoesNotFollow at a commit of a writer
    that had lost the partition; RestartNeeded where the store is not of this changelog.
    """
    _check(view, store, partition, records)
    for at in range(0, len(records), WRITE_RECORDS):
        some = records[at : at + WRITE_RECORDS]
        updates = [(record.key or b"", record.value or b"") for record in some]
        updates += [(PARTITION_KEY, b"%d" % partition), (RECOVERING_KEY, b"1")]
        store.write(updates, some[-1].offset)


def _is_reserved(record: Record) -> bool:
    return record.key is not None and record.key.startswith(RESERVED_PREFIX)


def _check(view: View, store: PartitionStore, partition: int, records: Sequence[Record]) -> None:
    """Look at each row, and at each marker: it must follow the one before it."""
    is_row = view.is_row
    before = store.marker()
    # Where nothing has been read yet, the first marker tells whether the store is of this log.
    is_own = not store.is_recovering()
    for record in records:
        if not _is_reserved(record):
            if not is_row(record.value or b""):
                raise CorruptRecord(f"no row of {view.name}: {(record.value or b'')[:64]!r}")
        elif record.key == MARKER_KEY:
            marker = decode_marker(record.value or b"")
            try:
                check_follows(before, marker)
            except DoesNotFollow as error:
                if not is_own:
                    raise
                store.mark_damaged()
                raise RestartNeeded(
                    f"partition {partition}: the local store is not of this changelog: after what"
                    f" it holds comes {error}"
                ) from error
            before, is_own = marker, False


def end_recovery(view: View, store: PartitionStore, partition: int, *, verify: bool) -> None:
    """End a recovery; one that went on where another was broken off must add up.

    Raises: RestartNeeded; the next start begins with an empty store.
    """
    try:
        is_whole = store.end_recovery(view if verify else None)
    except Exception:
        # Gone on with at the next start, it would end every process.
        store.mark_damaged()
        raise
    if not is_whole:
        store.mark_damaged()
        raise RestartNeeded(f"partition {partition}: the local store has lost some of its writes")


def require_marker(store: PartitionStore, partition: int) -> Marker:
    """Return the marker of a recovered store. Raises: RestartNeeded, which never happens."""
    marker = store.marker()
    if marker is None:
        raise RestartNeeded(f"partition {partition}: no marker after recovery")
    return marker
