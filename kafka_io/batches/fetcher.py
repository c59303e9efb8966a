"""aiokafka's fetcher, handing out one RecordChunk for each fetched partition.

aiokafka builds a ConsumerRecord for each record (0.37 M/s); its C parser alone does 3 to 6 M/s.
`deliver_chunks` swaps the class of a started consumer's fetcher; nothing else changes: fetch
sessions, positions, pausing and rebalances stay aiokafka's.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.client import ConnectionGroup
from aiokafka.consumer import fetcher as aiokafka_fetcher
from aiokafka.consumer.fetcher import READ_COMMITTED, Fetcher, FetchResult, PartitionRecords

from kafka_io.batches.checksums import RecordSet
from kafka_io.batches.chunk import RecordChunk
from kafka_io.batches.fetch_spacing import Spacing, Spacings
from kafka_io.batches.large_responses import receive_whole

# For every fetcher of the process: it parses as aiokafka's own does.
aiokafka_fetcher.MemoryRecords = RecordSet

#: A reader that gets so much of a partition at once is behind, and fetches without a pause.
SMALL_BYTES = 64 * 1024


class ChunkRecords:
    """Stands in for PartitionRecords: iterates to one chunk for the whole fetch."""

    def __init__(self, fetched: PartitionRecords) -> None:
        """Take over what was fetched, from its offset on."""
        self._fetched: PartitionRecords | None = fetched
        self.next_fetch_offset: int = fetched.next_fetch_offset

    def __iter__(self) -> ChunkRecords:
        return self

    def __next__(self) -> RecordChunk:
        """Go through all batches without parsing them; raises StopIteration the second time.

        Follows PartitionRecords._unpack_records of aiokafka 0.14.0 batch by batch. A chunk ends
        before a damaged batch, which is a chunk of its own; what is behind it is fetched again,
        with a list of aborted transactions that does not depend on it.
        """
        fetched, self._fetched = self._fetched, None
        if fetched is None:
            raise StopIteration
        # Its unused generator refers to it and so keeps the fetched bytes until a full garbage
        # collection: 340 MB of a topic that had passed through.
        fetched._records_iterator = None
        batches = fetched._records
        topic_partition = fetched._tp
        read_committed = fetched._isolation_level == READ_COMMITTED
        start = following = self.next_fetch_offset
        kept: list[Any] = []
        controls: list[tuple[int, int]] = []
        newest = -1
        damage: str | None = None
        first: tuple[int, int] | None = None
        last: tuple[int, int] | None = None
        for batch, after_damage in batches.checked_batches(start):
            if after_damage is not None:
                if following == start:
                    following, damage = after_damage, "its checksum is wrong"
                break
            following = batch.next_offset
            # Only where it is: many logs have thousands of small batches in a fetch.
            last = batches.at, following - 1
            if first is None:
                first = last
            if read_committed and batch.producer_id is not None:
                fetched._consume_aborted_up_to(batch.base_offset)
                if batch.is_control_batch and fetched._contains_abort_marker(batch):
                    fetched._aborted_producers.discard(batch.producer_id)
                if batch.is_transactional and batch.producer_id in fetched._aborted_producers:
                    continue
            if batch.is_control_batch:
                controls.append((batch.producer_id, batch.producer_epoch))
            else:
                kept.append(batch)
                newest = max(newest, batch.max_timestamp)
        self.next_fetch_offset = following
        if following == start:
            raise StopIteration
        return RecordChunk(
            topic_partition.topic,
            topic_partition.partition,
            start,
            following,
            kept,
            newest,
            damage=damage,
            first_batch=None if first is None else batches.stamp(*first),
            last_batch=None if last is None else batches.stamp(*last),
            controls=controls,
        )


class ChunkFetcher(Fetcher):
    """A Fetcher whose results are lists of one RecordChunk for each partition."""

    spacing: Spacing

    async def fetched_records(
        self, partitions: Any, timeout: float = 0, max_records: int | None = None
    ) -> dict[Any, list[Any]]:
        """Return chunks by partition; `max_records` does not apply to chunks."""
        ready = await self._take(partitions)
        if ready or not timeout:
            return ready
        waiter = self._create_fetch_waiter()  # type: ignore[no-untyped-call]
        done, _ = await asyncio.wait([waiter], timeout=timeout)
        if not done or self._closed:
            waiter.cancel()
            return {}
        waiter.result()  # raises what the coordinator found: authorisation, lost group
        return await self._take(partitions)

    async def _take(self, partitions: Any) -> dict[Any, list[Any]]:
        # aiokafka waits for a rebalance before it hands out what has come, so what comes
        # meanwhile would be handed out as single records: wait first, then wrap.
        if self._subscriptions.reassignment_in_progress:
            await self._subscriptions.wait_for_assignment()
        self._wrap()
        return await super().fetched_records(partitions, 0, None)  # type: ignore[no-untyped-call,no-any-return]

    async def _proc_fetch_request(self, assignment: Any, node_id: int, request: Any) -> bool:
        """Send a fetch and take its answer in, at some distance from the answer before."""
        try:
            if wait := self.spacing.wait_seconds():
                await asyncio.sleep(wait)
            receive_whole(self._client._conns.get((node_id, ConnectionGroup.DEFAULT)))
            found: bool = await super()._proc_fetch_request(assignment, node_id, request)  # type: ignore[no-untyped-call]
        except asyncio.CancelledError:
            # As aiokafka does, but in its own pause after an error: nobody wants the answer.
            return False
        self.spacing.answered(self._fetched_bytes())
        return found

    def _fetched_bytes(self) -> int:
        """How much has come that nobody has taken yet."""
        return sum(
            result._partition_records._records.size_in_bytes()
            for result in self._records.values()
            if type(result) is FetchResult and type(result._partition_records) is PartitionRecords
        )

    def _wrap(self) -> None:
        for result in self._records.values():
            if type(result) is FetchResult and type(result._partition_records) is PartitionRecords:
                fetched = result._partition_records
                if fetched._records.size_in_bytes() >= SMALL_BYTES:
                    self.spacing.end()
                result._partition_records = ChunkRecords(fetched)


def deliver_chunks(consumer: AIOKafkaConsumer, spacings: Spacings) -> None:
    """Make a started consumer's `getmany` return RecordChunks.

    Safe to call again; does nothing the second time.
    """
    fetcher: Any = consumer._fetcher
    if not isinstance(fetcher, ChunkFetcher):
        fetcher.__class__ = ChunkFetcher
        fetcher.spacing = Spacing(spacings)


def read_committed(consumer: AIOKafkaConsumer, fetch_max_wait_ms: int) -> AIOKafkaConsumer:
    """Set up a consumer that somebody else has made, before it starts; returns it."""
    consumer._isolation_level = "read_committed"
    consumer._fetch_max_wait_ms = fetch_max_wait_ms
    return consumer
