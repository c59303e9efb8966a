"""A simulated Kafka: topic partitions with transactions, and the transaction coordinator.

Synchronous and in memory. A batch is what one send appended; offsets count its records, and each
end of a transaction takes one offset more, as Kafka's control records do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from record_batches.chunk import RecordChunk

OPEN, COMMITTED, ABORTED = "open", "committed", "aborted"


class Fenced(Exception):
    """Another producer was started under this transactional.id."""


@dataclass(slots=True)
class Producer:
    """A client's view of a transactional producer."""

    transactional_id: str
    epoch: int


class Unparsable(Exception):
    """A batch whose records cannot be parsed this time."""


def unparsable() -> Iterator[Any]:
    """Batches that raise when they are read."""
    raise Unparsable
    yield


class SimRecord:
    """What aiokafka's parser yields for each record."""

    __slots__ = ("headers", "key", "offset", "timestamp", "value")

    def __init__(self, offset: int, key: bytes | None, value: bytes | None, at: int) -> None:
        self.offset = offset
        self.key = key
        self.value = value
        self.timestamp = at
        self.headers: list[tuple[str, bytes | None]] = []


class SimTransaction:
    """One transaction over any number of logs."""

    __slots__ = ("logs", "state")

    def __init__(self) -> None:
        self.state = OPEN
        self.logs: list[SimLog] = []

    def end(self, state: str, producer: Producer | None = None) -> None:
        """Decide it: a control record in each log, with its producer's epoch."""
        self.state = state
        for log in self.logs:
            del log.open[self]
            log.mark(self, producer)


class Batch:
    """Records of one send; without records it is a control batch or compacted."""

    __slots__ = ("is_control", "next_offset", "records", "transaction")

    def __init__(
        self,
        records: list[SimRecord],
        next_offset: int,
        transaction: SimTransaction | None,
        *,
        is_control: bool = False,
    ) -> None:
        self.records = records
        self.next_offset = next_offset
        self.transaction = transaction
        self.is_control = is_control

    def is_aborted(self) -> bool:
        return self.transaction is not None and self.transaction.state is ABORTED

    def is_committed(self) -> bool:
        return self.transaction is None or self.transaction.state is COMMITTED


class SimLog:
    """One partition of one topic."""

    def __init__(self, topic: str, partition: int) -> None:
        self.topic = topic
        self.partition = partition
        self.batches: list[Batch] = []
        self.end_offset = 0
        #: Open transactions and the first offset of each, the earliest first.
        self.open: dict[SimTransaction, int] = {}
        #: The newest epoch seen here of each transactional.id, in records or control records.
        self._epochs: dict[str, int] = {}

    def append(
        self,
        records: Iterable[tuple[bytes | None, bytes | None]],
        at: int,
        transaction: SimTransaction | None = None,
        producer: Producer | None = None,
    ) -> int:
        """Append one batch; returns the offset of its last record. Raises: Fenced.

        What the coordinator knows of the producer is not asked: a log refuses the epochs that
        are older than one that it has seen itself.
        """
        self._see(producer)
        offset = self.end_offset
        made = []
        for key, value in records:
            made.append(SimRecord(offset, key, value, at))
            offset += 1
        if transaction is not None and transaction not in self.open:
            self.open[transaction] = self.end_offset
            transaction.logs.append(self)
        self.batches.append(Batch(made, offset, transaction))
        self.end_offset = offset
        return offset - 1

    def mark(self, transaction: SimTransaction | None, producer: Producer | None) -> None:
        """Write the control record of a transaction that is decided, or of an empty one.

        Raises: Fenced.
        """
        self._see(producer)
        self.end_offset += 1
        self.batches.append(Batch([], self.end_offset, transaction, is_control=True))

    def _see(self, producer: Producer | None) -> None:
        if producer is None:
            return
        name, epoch = producer.transactional_id, producer.epoch
        if epoch < self._epochs.get(name, 0):
            raise Fenced(name)
        self._epochs[name] = epoch

    def last_stable_offset(self) -> int:
        """Up to here every transaction is decided."""
        for first in self.open.values():
            return first
        return self.end_offset

    def fetch(
        self,
        position: int,
        most_batches: int,
        *,
        read_committed: bool = True,
        before: int = 1 << 62,
    ) -> RecordChunk | None:
        """Return what lies from `position` on, as the real fetcher does; None if nothing does.

        Begins with the whole batch that holds the position, passes control batches and aborted
        records, and ends after `most_batches` batches or at `before`.
        """
        if position >= self.end_offset:
            return None
        end = min(before, self.last_stable_offset() if read_committed else self.end_offset)
        if position >= end:
            return None
        batches = self.batches
        at = len(batches)
        while at and batches[at - 1].next_offset > position:
            at -= 1
        following = position
        kept: list[list[SimRecord]] = []
        newest = -1
        for batch in batches[at : at + most_batches]:
            if batch.next_offset > end:
                break
            following = batch.next_offset
            if batch.records and not (read_committed and batch.is_aborted()):
                kept.append(batch.records)
                newest = batch.records[-1].timestamp
        if following == position:
            return None
        return RecordChunk(self.topic, self.partition, position, following, kept, newest)

    def compact(self, before: int, *, drop_controls: bool) -> None:
        """Keep the newest record of each key among the batches that end by `before`.

        The last batch that is stable stays: Kafka never cleans the segment it writes to.
        """
        before = min(before, self.last_stable_offset() - 1)
        newest: dict[bytes | None, int] = {}
        cleaned = [batch for batch in self.batches if batch.next_offset <= before]
        for batch in cleaned:
            if batch.is_committed():
                newest.update((record.key, record.offset) for record in batch.records)
        left = []
        for batch in cleaned:
            if batch.is_control:
                if not drop_controls:
                    left.append(batch)
                continue
            records = [r for r in batch.records if newest.get(r.key) == r.offset]
            if records:
                left.append(Batch(records, batch.next_offset, batch.transaction))
        self.batches[: len(cleaned)] = left


class Coordinator:
    """Who may write under a transactional.id, and in which transaction."""

    def __init__(self) -> None:
        self._epochs: dict[str, int] = {}
        self._open: dict[str, SimTransaction] = {}

    def init(self, transactional_id: str) -> Producer:
        """Abort what is open, fence all earlier producers."""
        self.expire(transactional_id)
        self._epochs[transactional_id] = epoch = self._epochs.get(transactional_id, 0) + 1
        return Producer(transactional_id, epoch)

    def append(
        self,
        producer: Producer,
        log: SimLog,
        records: Iterable[tuple[bytes | None, bytes | None]],
        at: int,
    ) -> int:
        """Append in the producer's transaction; returns the last offset. Raises: Fenced."""
        self._check(producer)
        transaction = self._open.get(producer.transactional_id)
        if transaction is None:
            transaction = self._open[producer.transactional_id] = SimTransaction()
        return log.append(records, at, transaction, producer)

    def end(self, producer: Producer, state: str) -> None:
        """Commit or abort the producer's transaction. Raises: Fenced."""
        self._check(producer)
        transaction = self._open.pop(producer.transactional_id, None)
        if transaction is not None:
            transaction.end(state, producer)

    def pass_empty(self, producer: Producer, log: SimLog) -> None:
        """Begin and abort a transaction without records. Raises: Fenced."""
        self._check(producer)
        log.mark(None, producer)

    def expire(self, transactional_id: str) -> None:
        """The transaction's time is over: aborted, its producer fenced."""
        transaction = self._open.pop(transactional_id, None)
        if transaction is not None:
            self._epochs[transactional_id] += 1
            transaction.end(ABORTED, Producer(transactional_id, self._epochs[transactional_id]))

    def open_ids(self) -> list[str]:
        """Transactional ids with an open transaction."""
        return list(self._open)

    def _check(self, producer: Producer) -> None:
        if self._epochs[producer.transactional_id] != producer.epoch:
            raise Fenced(producer.transactional_id)
