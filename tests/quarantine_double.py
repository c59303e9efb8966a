"""A quarantine topic in memory, read as Kafka's is; and rows of it, written with json alone."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from kafka_io.batches.chunk import RecordChunk
from tests.reader_double import ReaderDouble
from tests.records import HandmadeRecord

COLUMNS = [
    "timestamp",
    "device_id",
    "energy_consumed",
    "location",
    "c__error_column",
    "c__error",
    "c__import_id",
    "insertion_date",
    "__topic",
    "__partition",
    "__offset",
    "__timestamp",
    "__key",
    "__value",
    "__key_base64",
    "__value_base64",
]


def quarantine_value(**columns: Any) -> bytes:
    """A quarantine record's bytes."""
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    row |= {"c__error_column": ["timestamp"], "c__error": ["missing"], "insertion_date": "now"}
    return json.dumps(row | columns).encode()


def quarantine_record(
    offset: int, timestamp: int, view_version: int | None = None, value: bytes | None = None
) -> HandmadeRecord:
    """A record as it stands in the topic; in its value `__offset` is its own, to be found by."""
    headers: list[tuple[str, bytes | None]] = []
    if view_version is not None:
        headers.append(("view_version", str(view_version).encode()))
    value = quarantine_value(__offset=offset) if value is None else value
    return HandmadeRecord(offset, value, None, timestamp, headers)


class MemoryLog(ReaderDouble):
    """Partitions of records; offsets may have gaps, chunks begin and end anywhere."""

    def __init__(
        self, partitions: Mapping[int, list[HandmadeRecord]], ends: Mapping[int, int] | None = None
    ) -> None:
        super().__init__()
        self._partitions = partitions
        self._ends = ends or {
            number: records[-1].offset + 1 if records else 0
            for number, records in partitions.items()
        }
        self.windows: list[dict[int, int]] = []

    @asynccontextmanager
    async def open(self) -> AsyncIterator[MemoryLog]:
        yield self

    async def partitions(self) -> list[int]:
        return list(self._partitions)

    async def beginning_offsets(self, partitions: Iterable[int]) -> dict[int, int]:
        found = self._partitions
        return {p: found[p][0].offset if found[p] else self._ends[p] for p in partitions}

    async def end_offsets(self, partitions: Iterable[int]) -> dict[int, int]:
        return {p: self._ends[p] for p in partitions}

    def assign(self, start_offsets: Mapping[int, int]) -> None:
        super().assign(start_offsets)
        self.windows.append(self.at)

    async def read_until(self, end_offsets: Mapping[int, int]) -> AsyncIterator[RecordChunk]:
        for partition, start in self.at.items():
            # A fetch begins with the whole batch that holds its offset and may go past the end.
            near = [each for each in self._partitions[partition] if each.offset >= start - 2]
            for place in range(0, len(near), 5):
                some = near[place : place + 5]
                if some[0].offset < end_offsets[partition]:
                    yield RecordChunk(
                        "q", partition, max(start, some[0].offset), some[-1].offset + 1, [some]
                    )
