"""A chunk: all records that one fetch brought for one partition."""

from __future__ import annotations

from typing import Any, Protocol


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


class RecordChunk:
    """Records of one partition in offset order, and the offsets they stand for.

    `start_offset` to `next_offset - 1` also covers what is not among the records: control
    records, records of aborted transactions, offsets that compaction removed. A chunk may have
    no records at all and still moves the position.
    """

    __slots__ = (
        "__weakref__",
        "max_timestamp_ms",
        "next_offset",
        "partition",
        "records",
        "start_offset",
        "topic",
    )

    def __init__(
        self,
        topic: str,
        partition: int,
        start_offset: int,
        next_offset: int,
        records: list[Any],
        max_timestamp_ms: int = -1,
    ) -> None:
        """Keep what a fetch brought; `max_timestamp_ms` is that of its batches, -1 if none."""
        self.topic = topic
        self.partition = partition
        self.start_offset = start_offset
        self.next_offset = next_offset
        self.records: list[Record] = records
        self.max_timestamp_ms = max_timestamp_ms

    @property
    def offset(self) -> int:
        """The last offset covered: what Faust acknowledges for this chunk."""
        return self.next_offset - 1

    def __repr__(self) -> str:
        """Show the place, not the contents."""
        return (
            f"<RecordChunk {self.topic}/{self.partition} "
            f"{self.start_offset}..{self.next_offset - 1} {len(self.records)} records>"
        )
