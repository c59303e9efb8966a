"""A chunk: all records that one fetch brought for one partition."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

from aiokafka.errors import CorruptRecordException

#: Records of a slice, at least: enough to spread the cost of a call, few enough for the cache.
SLICE_RECORDS = 2_000


class Record(Protocol):
    """What aiokafka's C parser yields for each record; read-only attributes."""

    @property
    def offset(self) -> int: ...  # noqa: D102
    @property
    def timestamp(self) -> int: ...  # noqa: D102
    @property
    def key(self) -> bytes | None: ...  # noqa: D102
    @property
    def value(self) -> bytes | None: ...  # noqa: D102
    @property
    def headers(self) -> list[tuple[str, bytes | None]]: ...  # noqa: D102


class UnreadableBatch(CorruptRecordException):
    """A batch is damaged, or not in a form that can be read: offsets `first` to `last`."""

    def __init__(self, place: str, first: int, last: int, why: str) -> None:
        """Say where it is: `place` is topic and partition."""
        super().__init__()
        self.place, self.first, self.last, self.why = place, first, last, why

    def __str__(self) -> str:
        # aiokafka's own adds Kafka's error code.
        offsets = f"{self.first}-{self.last}"
        return f"{self.place}: the batch of offsets {offsets} cannot be read: {self.why}"


class BatchStamp(NamedTuple):
    """What tells a stored batch from another one at the same offsets.

    `last_offset` is the last one it covers. The CRC-32C is of its contents. The leader epoch is
    that of the leader which appended it, in Kafka; other makes fill in that of the leader which
    serves it. So another one says when to look again, never that the batch is another one.
    """

    last_offset: int
    checksum: int
    leader_epoch: int

    def is_same(self, other: BatchStamp) -> bool:
        """Return whether both are of one batch."""
        return self[:2] == other[:2]


class RecordChunk:
    """Records of one partition in offset order, and the offsets they stand for.

    `start_offset` to `next_offset - 1` also covers what is not among the records: control
    records, records of aborted transactions, offsets that compaction removed. A chunk may have
    no records at all and still moves the position. Its batches are parsed when they are read,
    by whoever reads them: until then a chunk is only the bytes that were fetched. One with
    `damage` stands for a single batch whose records cannot be read. `first_batch` and
    `last_batch` are of all that was fetched, control records included; None for damaged batches
    and for ones older than format 2. `controls` are producer id and epoch of each control record.
    """

    __slots__ = (
        "__weakref__",
        "_batches",
        "_records",
        "controls",
        "damage",
        "first_batch",
        "last_batch",
        "max_timestamp_ms",
        "next_offset",
        "partition",
        "start_offset",
        "topic",
    )

    def __init__(
        self,
        topic: str,
        partition: int,
        start_offset: int,
        next_offset: int,
        batches: Iterable[Iterable[Record]],
        max_timestamp_ms: int = -1,
        *,
        damage: str | None = None,
        first_batch: BatchStamp | None = None,
        last_batch: BatchStamp | None = None,
        controls: Sequence[tuple[int, int]] = (),
    ) -> None:
        """Keep what a fetch brought; `max_timestamp_ms` is that of its batches, -1 if none."""
        self.topic = topic
        self.partition = partition
        self.start_offset = start_offset
        self.next_offset = next_offset
        self.max_timestamp_ms = max_timestamp_ms
        self.damage = damage
        self.first_batch = first_batch
        self.last_batch = last_batch
        self.controls = controls
        self._batches: Iterable[Iterable[Record]] = batches
        self._records: list[Record] | None = None

    @property
    def offset(self) -> int:
        """The last offset covered: what Faust acknowledges for this chunk."""
        return self.next_offset - 1

    @property
    def records(self) -> list[Record]:
        """All records; parsed once and kept. Raises: UnreadableBatch."""
        if self._records is None:
            self._records = [record for some in self._parsed() for record in some]
        return self._records

    def slices(self, from_offset: int = 0) -> Iterator[list[Record]]:
        """Yield the records from an offset on in lists of a few thousand, parsed one by one.

        Can be called once, and not together with `records`: nothing is kept, so that the memory
        in use is that of one slice and stays in the processor's cache.

        Raises: UnreadableBatch, after all records before that batch.
        """
        pending: list[Record] = []
        try:
            for some in self._parsed():
                records = some
                if records and records[0].offset < from_offset:
                    records = [record for record in records if record.offset >= from_offset]
                if pending:
                    pending += records
                else:
                    pending = records
                if len(pending) >= SLICE_RECORDS:
                    yield pending
                    pending = []
        except UnreadableBatch:
            if pending:
                yield pending
            raise
        if pending:
            yield pending

    def require_intact(self) -> None:
        """Raise UnreadableBatch where the chunk is a damaged batch."""
        if self.damage is not None:
            raise self._unreadable(self.start_offset, self.next_offset - 1, self.damage)

    def _unreadable(self, first: int, last: int, why: str) -> UnreadableBatch:
        return UnreadableBatch(f"{self.topic}, partition {self.partition}", first, last, why)

    def _parsed(self) -> Iterator[list[Record]]:
        self.require_intact()
        # Taken out one by one: a batch keeps what it was inflated to for as long as it lives.
        batches = list(self._batches)
        self._batches = ()
        batches.reverse()
        while batches:
            batch = batches.pop()
            try:
                records = list(batch)
            except MemoryError:
                raise
            except Exception as error:
                # What its checksum says is right, its writer got wrong, or compressed in a way
                # that is not known here.
                first = max(getattr(batch, "base_offset", self.start_offset), self.start_offset)
                last = getattr(batch, "next_offset", self.next_offset) - 1
                raise self._unreadable(first, last, f"{type(error).__name__}: {error}") from error
            del batch
            # A fetch begins with the whole batch that holds its offset.
            if records and records[0].offset < self.start_offset:
                records = [record for record in records if record.offset >= self.start_offset]
            yield records

    def __repr__(self) -> str:
        return (
            f"<RecordChunk {self.topic}/{self.partition} "
            f"{self.start_offset}..{self.next_offset - 1}>"
        )
