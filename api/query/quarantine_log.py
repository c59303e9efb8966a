"""The newest quarantine records, read from the ends of the topic's partitions when asked for.

Reads `energy_consumption_quarantine`, read_committed, backwards in windows; keeps nothing
between two questions, so an API process follows no flood of bad records. Newest first means:
of the newest records not taken yet, one of each partition, the one with the highest Kafka
timestamp; within a partition always the higher offset.

    1. read a window from the end of each partition; of its records only the place is kept
    2. merge the places; a partition that runs out before the page is full gets another window
    3. read the values of the page, which is cut where they exceed the bytes allowed
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, NamedTuple

from api.auth.bounds import Bounds
from api.query.shown_records import ShownRecords
from contract.topics import QUARANTINE
from kafka_io.batches.chunk import Record
from kafka_io.batches.reader import ChunkReader

#: The first window of a partition has at least this many offsets; each further one twice as many.
WINDOW_OFFSETS = 64
#: A fetch of one partition.
FETCH_BYTES = 1024 * 1024
#: Others get their turn after so many bytes, a record taken for this many more: 1 to 2 ms.
PAUSE_BYTES, RECORD_BYTES = 256 * 1024, 512
PAUSE_PLACES = 1_000


class Page(NamedTuple):
    """Records as they are stored, newest first.

    `matching`: how many there are at least, before offset and limit. `records_read` and
    `bytes_read` say what it took.
    """

    records: list[bytes]
    matching: int
    records_read: int
    bytes_read: int


class Place(NamedTuple):
    """Where a record is, and how long its value is."""

    timestamp_ms: int
    partition: int
    offset: int
    size: int


class QuarantineLog:
    """Reads pages of the quarantine, each over a connection of its own."""

    def __init__(
        self,
        connection: Mapping[str, Any],
        *,
        open_reader: Callable[[], AbstractAsyncContextManager[ChunkReader]] | None = None,
        window_offsets: int = WINDOW_OFFSETS,
    ) -> None:
        """Store the arguments; tests hand in a log of their own."""
        self._window = window_offsets
        self._open = open_reader or (
            lambda: ChunkReader(
                connection,
                QUARANTINE.name,
                fetch_bytes=FETCH_BYTES,
                client_id="energy-api-quarantine",
            )
        )

    async def newest(
        self,
        view_version: int,
        offset: int,
        limit: int,
        max_bytes: int,
        bounds: Bounds | None = None,
    ) -> Page:
        """Return records of this view version, and of none, without the newest `offset`.

        Within `bounds`, and all counts are of those alone. Fewer than `limit` where there are no
        more, or where more would exceed `max_bytes` (one record is always given).
        Raises: KafkaError, OSError.
        """
        async with self._open() as reader:
            tails = await _tails(reader)
            shown = ShownRecords(view_version, bounds)
            needed = offset + limit
            window = max(self._window, 2 * needed // max(1, len(tails)))
            places = await _merge(reader, tails, needed, window, shown)
            page = _cut(places[offset:], max_bytes)
            values = await _values(reader, page)
            return Page(
                [values[place.partition, place.offset] for place in page],
                sum(len(tail.places) for tail in tails),
                shown.records_read,
                shown.bytes_read,
            )


class _Tail:
    """The end of one partition, read from `low` on; places newest first."""

    def __init__(self, partition: int, begin: int, end: int) -> None:
        self.partition = partition
        self.begin = begin
        self.low = end
        self.places: list[Place] = []

    @property
    def is_whole(self) -> bool:
        return self.low <= self.begin


async def _tails(reader: ChunkReader) -> list[_Tail]:
    partitions = await reader.partitions()
    begins = await reader.beginning_offsets(partitions)
    ends = await reader.end_offsets(partitions)
    return [_Tail(each, begins[each], ends[each]) for each in partitions]


async def _merge(
    reader: ChunkReader, tails: Sequence[_Tail], needed: int, window: int, shown: ShownRecords
) -> list[Place]:
    """Return the newest places; a tail that runs out is read further first."""
    merged: list[Place] = []
    if needed == 0:
        return merged
    while starved := [tail for tail in tails if not tail.places and not tail.is_whole]:
        await _extend(reader, starved, window, shown)
        window *= 2
    heads = [(-tail.places[0].timestamp_ms, n, 0) for n, tail in enumerate(tails) if tail.places]
    heapq.heapify(heads)
    while heads:
        _, number, place = heads[0]
        tail = tails[number]
        merged.append(tail.places[place])
        if len(merged) == needed:
            break
        if len(merged) % PAUSE_PLACES == 0:
            await asyncio.sleep(0)
        while place + 1 == len(tail.places) and not tail.is_whole:
            await _extend(reader, [tail], window, shown)
            window *= 2
        heapq.heappop(heads)
        if place + 1 < len(tail.places):
            heapq.heappush(heads, (-tail.places[place + 1].timestamp_ms, number, place + 1))
    return merged


async def _extend(
    reader: ChunkReader, tails: Sequence[_Tail], window: int, shown: ShownRecords
) -> None:
    """Read a further window of these tails, in one go."""
    lows = {tail.partition: max(tail.begin, tail.low - window) for tail in tails}
    ends = {tail.partition: tail.low for tail in tails}
    found: dict[int, list[Place]] = {tail.partition: [] for tail in tails}
    async for record, partition in _records(reader, lows, ends):
        if shown.has(record):
            place = Place(record.timestamp, partition, record.offset, len(record.value or b""))
            found[partition].append(place)
    for tail in tails:
        tail.places += reversed(found[tail.partition])
        tail.low = lows[tail.partition]


async def _values(reader: ChunkReader, page: Sequence[Place]) -> dict[tuple[int, int], bytes]:
    wanted = {(place.partition, place.offset) for place in page}
    lows: dict[int, int] = {}
    ends: dict[int, int] = {}
    for place in page:
        lows[place.partition] = min(place.offset, lows.get(place.partition, place.offset))
        ends[place.partition] = max(place.offset + 1, ends.get(place.partition, 0))
    return {
        (partition, record.offset): record.value or b""
        async for record, partition in _records(reader, lows, ends)
        if (partition, record.offset) in wanted
    }


async def _records(
    reader: ChunkReader, lows: Mapping[int, int], ends: Mapping[int, int]
) -> AsyncIterator[tuple[Record, int]]:
    """Yield the records from `lows` up to `ends`, and the partition of each."""
    if not lows:
        return
    reader.assign(lows)
    unpaused = 0
    async for chunk in reader.read_until(ends):
        end = ends[chunk.partition]
        for records in chunk.slices():
            for record in records:
                if record.offset < end:
                    yield record, chunk.partition
                unpaused += RECORD_BYTES + len(record.value or b"")
                if unpaused > PAUSE_BYTES:
                    unpaused = 0
                    await asyncio.sleep(0)


def _cut(places: Sequence[Place], max_bytes: int) -> Sequence[Place]:
    size = 0
    for count, place in enumerate(places):
        size += place.size
        if size > max_bytes and count:
            return places[:count]
    return places
