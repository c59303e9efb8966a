"""How long the oldest record behind an offset has waited: lag in seconds, from the log itself.

Numbers of records mislead: control records of transactions are counted, and nobody knows how many
seconds a thousand records are. This looks into the log once a second, whatever the readers do: who
has been behind since the look before is told the time of the next record, which is read. While
nothing comes on the age grows, because it is made when somebody asks.

Whoever may only ask for the ends of the log, not read it, waits since that was seen.

Times are those of the records: the producer's, or the broker's where the topic says LogAppendTime.
A record whose time is none waits since it was first seen.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

from aiokafka.errors import KafkaError, TopicAuthorizationFailedError

from contract.freshness import is_time
from kafka_io.batches.chunk import UnreadableBatch
from kafka_io.batches.reader import ChunkReader

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
#: A look that takes longer is given up, and its connection.
ANSWER_SECONDS = 10.0
#: After so long without a look, who was not behind may be.
OLD_SECONDS = 3.0
#: Fetches that may bring control records alone before the search for a record is given up.
CONTROL_FETCHES = 20
#: Of one batch at least, however large; of control records, which are 78 bytes, many.
FETCH_BYTES = 16 * 1024
#: How many ends are remembered: of a day of lag.
SEEN_ENDS = 86_400

Reader = TypeVar("Reader", bound=Hashable)


class _Known(NamedTuple):
    """What a look found of a partition: its end, and since when a record waits, if one does."""

    end: int
    waits_since_ms: int | None


class LagSeconds(Generic[Reader]):
    """The age of the oldest record that each reader has not applied, by partition."""

    def __init__(
        self,
        connection: Mapping[str, Any],
        topic: str,
        applied: Callable[[], Mapping[Reader, Mapping[int, int]]],
        *,
        client_id: str = "energy-lag",
        clock: Callable[[], float] = time.time,
        steady_clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Store the arguments; `run` looks.

        `applied` says how far each reader is now; it is called in any thread.
        """
        self._connection, self._topic, self._applied = connection, topic, applied
        self._client_id = client_id
        self._clock, self._steady_clock = clock, steady_clock
        self._known: dict[tuple[Reader, int], _Known] = {}
        self._ends: dict[int, int] = {}
        #: By partition and offset, when the record there was published.
        self._times: dict[tuple[int, int], int] = {}
        self._looked_at = 0.0
        self._may_read = True
        #: By partition, the ends of the log and when each was seen first; of what is not applied.
        self._seen: dict[int, deque[tuple[int, int]]] = {}

    def seconds(self) -> dict[Reader, dict[int, float]]:
        """Return the lag by reader and partition; from any thread.

        Below a second it is 0. While Kafka does not answer, or this process does nothing, it is at
        most what is returned: who was not behind at the last look may be since then.
        """
        unseen = self._steady_clock() - self._looked_at
        at_most = unseen if unseen > OLD_SECONDS else 0.0
        known, now = self._known, self._clock()
        found: dict[Reader, dict[int, float]] = {}
        for reader, applied in self._applied().items():
            here = found.setdefault(reader, {})
            for partition, offset in applied.items():
                if (each := known.get((reader, partition))) is None:
                    continue
                if each.waits_since_ms is None or offset >= each.end - 1:
                    here[partition] = at_most
                else:
                    here[partition] = max(at_most, now - each.waits_since_ms / 1000)
        return found

    async def run(self) -> None:
        """Look until cancelled; after a failure over a new connection."""
        while True:
            try:
                # Uncommitted records too: behind an open transaction they wait like all others.
                async with ChunkReader(
                    self._connection,
                    self._topic,
                    read_committed=False,
                    fetch_bytes=FETCH_BYTES,
                    client_id=self._client_id,
                ) as reader:
                    while True:
                        async with asyncio.timeout(ANSWER_SECONDS):
                            await self.look(reader)
                        await asyncio.sleep(LOOK_SECONDS)
            except (KafkaError, OSError, TimeoutError) as error:
                log.debug("cannot read the log now: %r", error)
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self, reader: ChunkReader) -> None:
        """Look once. Raises: what aiokafka raises."""
        asked_at, readers = self._steady_clock(), self._applied()
        ends = await reader.end_offsets({p for applied in readers.values() for p in applied})
        waited_for = {
            (partition, offset + 1)
            for applied in readers.values()
            for partition, offset in applied.items()
            # A reader that applied all that the last look saw is less than a second behind.
            if offset + 1 < min(ends[partition], self._ends.get(partition, ends[partition]))
        }
        self._note(ends, readers.values())
        times = {at: ms for at, ms in self._times.items() if at in waited_for}
        for partition, offset in sorted(waited_for - times.keys()):
            found = await self._published(reader, partition, offset, ends[partition])
            if found is not None:
                times[partition, offset] = found
        self._known = {
            (name, partition): _Known(ends[partition], times.get((partition, offset + 1)))
            for name, applied in readers.items()
            for partition, offset in applied.items()
        }
        self._times, self._ends, self._looked_at = times, ends, asked_at

    def _note(self, ends: Mapping[int, int], readers: Iterable[Mapping[int, int]]) -> None:
        """Remember when the log had grown so far."""
        now_ms = int(self._clock() * 1000)
        least: dict[int, int] = {}
        for applied in readers:
            for partition, offset in applied.items():
                least[partition] = min(offset, least.get(partition, offset))
        seen = {each: self._seen.get(each, deque(maxlen=SEEN_ENDS)) for each in ends}
        for partition, end in ends.items():
            here = seen[partition]
            while here and here[0][0] <= least[partition] + 1:
                here.popleft()
            if not here or here[-1][0] < end:
                here.append((end, now_ms))
        self._seen = seen

    def _seen_at(self, partition: int, offset: int) -> int:
        """Return when the log was first seen to hold an offset."""
        ends = self._seen[partition]
        return next(ms for end, ms in ends if end > offset)

    async def _published(
        self, reader: ChunkReader, partition: int, offset: int, end: int
    ) -> int | None:
        """Return when the first record from an offset on was published; None: there is none."""
        now_ms, seen_ms = int(self._clock() * 1000), self._seen_at(partition, offset)
        firsts = await reader.beginning_offsets([partition])
        offset = max(offset, firsts[partition])
        for _ in range(CONTROL_FETCHES if self._may_read else 0):
            if offset >= end:
                return None
            reader.assign({partition: offset})
            try:
                chunks = await reader.chunks(0.5)
            except TopicAuthorizationFailedError:
                log.info("lag in seconds counts from when records are seen: no right to read them")
                self._may_read = False
                break
            for chunk in chunks:
                try:
                    records = chunk.records
                except UnreadableBatch:
                    return seen_ms
                for record in records:
                    at_ms = record.timestamp
                    return min(at_ms, now_ms) if is_time(at_ms, now_ms) else seen_ms
                offset = chunk.next_offset
        return seen_ms
