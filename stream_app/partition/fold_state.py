"""What a worker knows of one view's partition, and decides: no Kafka, a clock handed in.

One PartitionFold lives for one partition in one generation, from the marker that the changelog
holds. The order of calls is the protocol:

1. each chunk: its `verdict`, and the next one is folded into `pending` (shared_chunk.py).
2. `take` what is pending when a transaction may begin.
3. `transaction` makes its records: rows (stored + pending), quarantine, and the marker LAST.
4. after Kafka has committed it and the store has it: `applied`.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import msgspec

from contract.changelog import MARKER_KEY, Marker, encode_marker
from contract.decoding import Rejected
from contract.freshness import is_time
from contract.quarantine import Origin, encode_quarantined
from contract.view import View
from kafka_io.batches.chunk import BatchStamp, Record, RecordChunk, UnreadableBatch
from stream_app.partition.pending import Pending, QuarantineRecord, Transaction
from stream_app.partition.roll_up import RollUp
from stream_app.partition.shared_chunk import SharedCells, Slice, fold_together

#: So many records are each asked for their time.
LOOKED_AT = 100


class Verdict(enum.Enum):
    """How a chunk stands to what is already folded."""

    NEXT = "next"
    REDELIVERED = "redelivered"
    STRADDLING = "straddling"
    GAP = "gap"

    @property
    def is_folded(self) -> bool:
        """Return whether there is something to fold in the chunk, and nothing is missing before."""
        return self in (Verdict.NEXT, Verdict.STRADDLING)


def stamp_of(marker: Marker) -> BatchStamp | None:
    """Return the batch of readings that a marker says it ends at, None where it does not say."""
    if marker.checksum is None or marker.leader_epoch is None:
        return None
    return BatchStamp(marker.applied_offset, marker.checksum, marker.leader_epoch)


def _odd_times(records: list[Record], newest_ms: int, now_ms: int) -> int:
    """Count the records whose CreateTime is none.

    Of a long slice only the ends are looked at first, and the newest: to ask each record is 6 %
    of a catch-up, and a clock that is wrong is wrong for a sender's other records too.
    """
    looked_at = records if len(records) <= LOOKED_AT else (records[0], records[-1])
    if is_time(newest_ms, now_ms) and all(is_time(r.timestamp, now_ms) for r in looked_at):
        return 0
    return sum(not is_time(record.timestamp, now_ms) for record in records)


class PartitionFold:
    """The state of one partition between its marker and what has been folded."""

    def __init__(
        self,
        view: View,
        partition: int,
        marker: Marker,
        writer: tuple[int, int] | None = None,
        *,
        keep_days: int = 0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Go on after the marker; `writer` is who commits: producer id and epoch.

        `keep_days` are for how long rows of a view that adds up old ones are kept; 0: forever.
        """
        self.view = view
        self._clock = clock
        self.partition = partition
        self.marker = marker
        self._writer = writer
        self.folded_offset = marker.applied_offset
        #: The batch that ends at `folded_offset`, where it is known.
        self.folded_batch = stamp_of(marker)
        self.pending = Pending(view.new_deltas())
        #: Readings that are pending too, folded together with other views.
        self.cells: SharedCells | None = None
        self.roll_up: RollUp | None = None
        if view.retention is not None and (keep_days or marker.cutoff):
            self.roll_up = RollUp(view.retention, marker, keep_days, clock)

    @property
    def pending_rows(self) -> int:
        """About how many rows a commit of all that is pending would write."""
        return len(self.pending.deltas) + (0 if self.cells is None else len(self.cells))

    @property
    def next_offset(self) -> int:
        """The source offset that has to come next."""
        return self.folded_offset + 1

    def skip_to(self, next_offset: int) -> None:
        """Go on at an offset without what is missing before it: an operator has accepted that."""
        self.folded_offset = next_offset - 1
        self.folded_batch = self.pending.batch = None

    def verdict(self, chunk: RecordChunk) -> Verdict:
        """Return whether the chunk begins exactly where the last one ended."""
        if chunk.start_offset == self.folded_offset + 1:
            return Verdict.NEXT
        if chunk.next_offset - 1 <= self.folded_offset:
            return Verdict.REDELIVERED
        if chunk.start_offset <= self.folded_offset:
            return Verdict.STRADDLING
        return Verdict.GAP

    def needs_proof(self, chunk: RecordChunk) -> bool:
        """Return whether a chunk shows that the log may be another one than what is folded.

        So it does with another batch where the folded one ends, and with another leader, which
        may have cut the log before it appended. Only what stands at the folded offset now tells.
        """
        folded, following = self.folded_batch, self.folded_offset + 1
        if folded is None or chunk.start_offset > following:
            return False
        for batch in (chunk.first_batch, chunk.last_batch):
            if batch and batch.last_offset == folded.last_offset and not batch.is_same(folded):
                return True
        # A chunk that begins before may have been cut anywhere in between.
        batch = chunk.first_batch if chunk.start_offset == following else chunk.last_batch
        if batch is None:
            return False
        if chunk.next_offset <= following:
            # Of the leaders before is much of what comes again.
            return batch.leader_epoch > folded.leader_epoch
        return batch.leader_epoch != folded.leader_epoch

    def accept(self, chunk: RecordChunk) -> Verdict:
        """Fold the chunk if it is the next one; cut off what is already folded.

        A GAP and a REDELIVERED chunk change nothing: offsets that were never seen must not be
        passed, and offsets that are counted must not be counted again.

        Raises: UnreadableBatch; all before that batch is folded then, and nothing of it.
        """
        verdict = self.verdict(chunk)
        damage = fold_together([self], chunk) if verdict.is_folded else None
        if damage is not None:
            raise damage
        return verdict

    def add(self, some: Slice, chunk: RecordChunk, *, in_cells: bool) -> None:
        """Fold a slice, without what is folded already; `in_cells`: its readings are in `cells`."""
        if some.records[0].offset <= self.folded_offset:
            some = some.after(self.folded_offset)
        records, readings, rejected = some
        pending = self.pending
        if not in_cells:
            self.view.fold(readings, pending.deltas)
        pending.counted += len(readings)
        now_ms = int(self._clock() * 1000)
        if readings:
            # Never newer than now: one of the far future would make all later look fresh.
            pending.newest_ms = max(pending.newest_ms, min(chunk.max_timestamp_ms, now_ms))
            if is_time(first_ms := records[0].timestamp, now_ms):
                pending.ages.append((first_ms, len(readings)))
        if self.view.quarantines:
            pending.odd_times += _odd_times(records, chunk.max_timestamp_ms, now_ms)
            if rejected:
                self._quarantine(records, rejected, chunk.topic)

    def end(self, chunk: RecordChunk, damage: UnreadableBatch | None) -> None:
        """Note that all of a chunk is folded, or all before a batch that cannot be read."""
        if damage is None:
            self.folded_offset = chunk.next_offset - 1
            self.folded_batch = self.pending.batch = chunk.last_batch
        else:
            self.folded_offset = max(self.folded_offset, damage.first - 1)
            self.folded_batch = self.pending.batch = None

    def _quarantine(self, records: list[Record], rejected: list[Rejected], topic: str) -> None:
        now = datetime.now(UTC)
        pending = self.pending
        for index, error in rejected:
            record = records[index]
            origin = Origin(topic, self.partition, record.offset, record.timestamp, record.key)
            value = encode_quarantined(record.value, error, origin, now)
            key = record.key[:1024] if record.key is not None else None
            pending.quarantined.append(QuarantineRecord(key, value))
            pending.quarantined_bytes += len(value)

    def take(self) -> Pending:
        """Hand over what is pending; folding continues into a new one."""
        if self.cells is not None:
            self.cells.settle()
        taken, self.pending = self.pending, Pending(self.view.new_deltas())
        return taken

    def transaction(
        self, taken: Pending, applied_offset: int, stored: Iterable[tuple[bytes, bytes | None]]
    ) -> Transaction:
        """Make the records of a transaction, in the order of `stored`; spends `taken.deltas`.

        `stored` are the keys of its rows with the store's values of them; `applied_offset` is
        `folded_offset` as it was when `taken` was taken.
        """
        updates = self.view.rows(stored, taken.deltas)
        # Not one by one while they are added: records in the gaps would be read in leaps.
        taken.deltas.clear()
        batch = taken.batch
        if applied_offset == self.marker.applied_offset:
            # Nothing but old rows is in it.
            batch = stamp_of(self.marker)
        rolled_up = self.roll_up.told() if self.roll_up else None
        marker = Marker(
            applied_offset=applied_offset,
            counted=self.marker.counted + taken.counted,
            quarantined=self.marker.quarantined + len(taken.quarantined),
            # The marker before may be an earlier build's, of the far future.
            newest_ms=max(min(self.marker.newest_ms, int(self._clock() * 1000)), taken.newest_ms),
            previous=self.marker.applied_offset,
            writer=self._writer,
            checksum=batch.checksum if batch else None,
            leader_epoch=batch.leader_epoch if batch else None,
            v=3 if rolled_up else 2,
            rolled_up=rolled_up or msgspec.UNSET,
        )
        updates.append((MARKER_KEY, encode_marker(marker)))
        return Transaction(updates, taken.quarantined, marker)

    def applied(self, transaction: Transaction) -> None:
        """Note that Kafka and the store have the transaction."""
        self.marker = transaction.marker
