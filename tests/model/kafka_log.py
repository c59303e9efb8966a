"""A simulated Kafka: topic partitions with transactions; coordinator.py is who decides them.

Synchronous and in memory. A batch is what one send appended; offsets count its records, and each
end of a transaction takes one offset more, as Kafka's control records do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from kafka_io.batches.chunk import BatchStamp, RecordChunk

#: A broker whose logs refuse older epochs, and one of another make whose logs do not.
KAFKA, OTHER_MAKE = 1, 2
OPEN, COMMITTED, ABORTED = "open", "committed", "aborted"


class Fenced(Exception):
    """Another producer was started under this transactional.id."""


@dataclass(slots=True)
class Producer:
    """A client's view of a transactional producer."""

    transactional_id: str
    producer_id: int
    epoch: int
    #: How many had started, of all ids, when this one did.
    order: int = 0


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
        self.mark(producer)

    def mark(self, producer: Producer | None) -> None:
        """Write the control records of what is decided."""
        for log in self.logs:
            del log.open[self]
            log.mark(self, producer)


class Batch:
    """Records of one send; without records it is a control batch or compacted."""

    __slots__ = ("checksum", "is_control", "leader_epoch", "next_offset", "records", "transaction")

    def __init__(
        self,
        records: list[SimRecord],
        next_offset: int,
        transaction: SimTransaction | None,
        checksum: int,
        leader_epoch: int,
        *,
        is_control: bool = False,
    ) -> None:
        self.checksum, self.leader_epoch = checksum, leader_epoch
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

    def __init__(self, topic: str, partition: int, *, serves_epoch_of_today: bool = False) -> None:
        self.topic = topic
        self.partition = partition
        #: As services of other makes do, which do not keep the epoch a batch was appended in.
        self._serves_epoch_of_today = serves_epoch_of_today
        self.batches: list[Batch] = []
        self.end_offset = 0
        #: Open transactions and the first offset of each, the earliest first.
        self.open: dict[SimTransaction, int] = {}
        #: The newest epoch seen here of each producer id, in records or control records.
        self._epochs: dict[int, int] = {}
        self._made = 0
        self.leader_epoch = 0
        #: The broker that has it; another one's logs take the batches of any writer.
        self.leader = KAFKA

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
        self._add(made, offset, transaction)
        return offset - 1

    def mark(self, transaction: SimTransaction | None, producer: Producer | None) -> None:
        """Write the control record of a transaction that is decided, or of an empty one.

        Raises: Fenced.
        """
        self._see(producer)
        self._add([], self.end_offset + 1, transaction, is_control=True)

    def _add(
        self,
        records: list[SimRecord],
        next_offset: int,
        transaction: SimTransaction | None,
        *,
        is_control: bool = False,
    ) -> None:
        self._made += 1
        self.batches.append(
            Batch(
                records,
                next_offset,
                transaction,
                self._made,
                self.leader_epoch,
                is_control=is_control,
            )
        )
        self.end_offset = next_offset

    def _see(self, producer: Producer | None) -> None:
        if producer is None:
            return
        name, epoch = producer.producer_id, producer.epoch
        newest = self._epochs.get(name, 0)
        if epoch < newest and self.leader is KAFKA:
            raise Fenced(producer.transactional_id)
        self._epochs[name] = max(epoch, newest)

    def forget(self, kept: list[int]) -> None:
        """Forget all producers but some: the others were idle for too long."""
        self._epochs = {name: self._epochs[name] for name in kept if name in self._epochs}

    def truncate(self, count: int) -> None:
        """Lose all batches but the first so many; another leader writes from here on."""
        self.leader_epoch += 1
        del self.batches[count:]
        self.end_offset = self.batches[-1].next_offset if self.batches else 0
        for transaction, first in list(self.open.items()):
            if first >= self.end_offset:
                del self.open[transaction]
                transaction.logs.remove(self)

    def stamp_at(self, offset: int) -> BatchStamp | None:
        """Return the stamp of the batch that holds an offset, None where there is none."""
        return next((self._stamp(b) for b in self.batches if b.next_offset > offset), None)

    def _stamp(self, batch: Batch) -> BatchStamp:
        epoch = self.leader_epoch if self._serves_epoch_of_today else batch.leader_epoch
        return BatchStamp(batch.next_offset - 1, batch.checksum, epoch)

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
        last = None
        for batch in batches[at : at + most_batches]:
            if batch.next_offset > end:
                break
            following, last = batch.next_offset, batch
            if batch.records and not (read_committed and batch.is_aborted()):
                kept.append(batch.records)
                newest = batch.records[-1].timestamp
        if last is None:
            return None
        return RecordChunk(
            self.topic,
            self.partition,
            position,
            following,
            kept,
            newest,
            first_batch=self._stamp(batches[at]),
            last_batch=self._stamp(last),
        )

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
                left.append(
                    Batch(
                        records,
                        batch.next_offset,
                        batch.transaction,
                        batch.checksum,
                        batch.leader_epoch,
                    )
                )
        self.batches[: len(cleaned)] = left
