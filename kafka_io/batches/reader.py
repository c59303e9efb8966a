"""Read a topic without a group: all partitions, from an offset, committed records only."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, TopicPartition

import kafka_io.logins  # noqa: F401 - what its clients log in with
from kafka_io.batches.chunk import RecordChunk
from kafka_io.batches.fetcher import deliver_chunks

#: Bytes asked of each partition in one fetch.
FETCH_BYTES = 4 * 1024 * 1024
#: Of a few control records, which are 78 bytes each.
CONTROLS_BYTES = 16 * 1024
#: A broker that takes connections and never answers is given up after so long; 40 s by default.
REQUEST_TIMEOUT_MS = 10_000
#: A worker's commits come as often as it fetches. Where there are many, each fetch costs more
#: than it is sooner. Measured: docs/BENCHMARKS.md.
SPACINGS = ((0, 0.001), (200_000, 0.005), (400_000, 0.010))


class ChunkReader:
    """Follows partitions of one topic; use it as an async context manager.

    `connection` is KafkaSettings.for_aiokafka(). Has no group and commits nothing. An end is
    reached when the POSITION has passed it: the last offset of a transaction is a control
    record that no reader is ever given.
    """

    def __init__(
        self,
        connection: Mapping[str, Any],
        topic: str,
        *,
        read_committed: bool = True,
        fetch_bytes: int = FETCH_BYTES,
        client_id: str = "energy-reader",
    ) -> None:
        """Store the arguments; `start` connects."""
        self._topic = topic
        self._consumer = AIOKafkaConsumer(
            **connection,
            client_id=client_id,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed" if read_committed else "read_uncommitted",
            max_partition_fetch_bytes=fetch_bytes,
            fetch_max_bytes=max(fetch_bytes, 52_428_800),
            fetch_max_wait_ms=500,
            retry_backoff_ms=100,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
        )

    async def __aenter__(self) -> Self:
        try:
            await self._consumer.start()
        except BaseException:
            # Nobody else will: what begins in a failed start stays open, and says so later.
            await self._consumer.stop()
            raise
        deliver_chunks(self._consumer, SPACINGS)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()

    async def partitions(self) -> list[int]:
        """Return the topic's partitions in order, none if there is no such topic.

        aiokafka caches metadata for up to five minutes; this asks the broker.
        """
        cluster = await self._consumer._client.fetch_all_metadata()
        return sorted(cluster.partitions_for_topic(self._topic) or ())

    async def beginning_offsets(self, partitions: Iterable[int]) -> dict[int, int]:
        """Return the first offset still there, by partition."""
        offsets = await self._consumer.beginning_offsets(self._of(partitions))
        return {tp.partition: offset for tp, offset in offsets.items()}

    async def end_offsets(self, partitions: Iterable[int]) -> dict[int, int]:
        """Return the next offset by partition: the last stable one when read_committed."""
        offsets = await self._consumer.end_offsets(self._of(partitions))
        return {tp.partition: offset for tp, offset in offsets.items()}

    def assign(self, start_offsets: Mapping[int, int]) -> None:
        """Read these partitions, each from its offset; drops any earlier assignment."""
        self._consumer.assign(self._of(start_offsets))
        for partition, offset in start_offsets.items():
            self._consumer.seek(TopicPartition(self._topic, partition), offset)

    async def chunks(self, timeout_seconds: float) -> list[RecordChunk]:
        """Return what has come, waiting at most this long for the first; may be empty.

        Where one is a damaged batch, whoever reads its records is told. Raises:
        aiokafka.errors.OffsetOutOfRangeError when a position is no longer in the log.
        """
        got: dict[Any, list[Any]] = await self._consumer.getmany(
            timeout_ms=int(timeout_seconds * 1000)
        )
        return [chunk for chunks in got.values() for chunk in chunks]

    async def position(self, partition: int) -> int:
        """Return the next offset to read; it passes control records."""
        return int(await self._consumer.position(TopicPartition(self._topic, partition)))

    async def read_until(self, end_offsets: Mapping[int, int]) -> AsyncIterator[RecordChunk]:
        """Yield chunks until every assigned partition's position has reached its end."""
        waiting = {
            partition
            for partition, end in end_offsets.items()
            if await self.position(partition) < end
        }
        while waiting:
            for chunk in await self.chunks(0.2):
                yield chunk
            waiting = {
                partition
                for partition in waiting
                if await self.position(partition) < end_offsets[partition]
            }

    def _of(self, partitions: Iterable[int]) -> list[TopicPartition]:
        return [TopicPartition(self._topic, partition) for partition in partitions]


async def are_controls_of(
    producer: tuple[int, int],
    connection: Mapping[str, Any],
    topic: str,
    partition: int,
    offsets: range,
) -> bool:
    """Return whether control records of this producer id and epoch stand at each of the offsets."""
    found: list[tuple[int, int]] = []
    # So few bytes: one fetch brings what is behind them, too.
    async with ChunkReader(
        connection, topic, read_committed=False, fetch_bytes=CONTROLS_BYTES
    ) as reader:
        reader.assign({partition: offsets.start})
        async for chunk in reader.read_until({partition: offsets.stop}):
            found += chunk.controls
            if any(record.offset in offsets for record in chunk.records):
                return False
    return found[: len(offsets)] == [producer] * len(offsets)


async def read_all(
    connection: Mapping[str, Any], topic: str, *, client_id: str = "energy-reader"
) -> AsyncIterator[RecordChunk]:
    """Yield the whole topic as it is now: from its beginning to the ends seen at the start."""
    async with ChunkReader(connection, topic, client_id=client_id) as reader:
        partitions = await reader.partitions()
        ends = await reader.end_offsets(partitions)
        begins = await reader.beginning_offsets(partitions)
        unread = {p: begins[p] for p in partitions if begins[p] < ends[p]}
        if not unread:
            return
        reader.assign(unread)
        async for chunk in reader.read_until({p: ends[p] for p in unread}):
            yield chunk
