"""Faust's consumer, handing the agent whole chunks and starting after the marker."""

from __future__ import annotations

import asyncio
from typing import Any

from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from kafka_io.batches.chunk import RecordChunk
from kafka_io.batches.fetcher import deliver_chunks, read_committed
from stream_app.process.exit import end_process

#: A poll that is under way ends within this time after a seek or resume; Faust says 1500.
FETCH_MAX_WAIT_MS = 100
#: A fetch makes a commit of each partition, and broker, worker and readers pay for it: from some
#: 2,500 readings/s on, and again from 7,000, fewer are sooner done. Measured: docs/BENCHMARKS.md.
SPACINGS = ((0, 0.005), (400_000, 0.010), (1_000_000, 0.020))
_POLL_SECONDS = 1.0
_COMMIT_SECONDS = 10.0


class ChunkThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """The thread that owns the aiokafka consumer."""

    source: Any = None

    def _create_worker_consumer(self, transport: Any) -> Any:
        """Read committed records only: Faust does so only with its own exactly_once."""
        consumer = super()._create_worker_consumer(transport)
        self.source = read_committed(consumer, FETCH_MAX_WAIT_MS)
        return self.source

    async def on_start(self) -> None:
        """Have the started consumer deliver chunks, before it has a partition."""
        await super().on_start()
        deliver_chunks(self.source, SPACINGS)

    def stable_offset(self, tp: Any) -> int | None:
        """Return what the last fetch brought, None before any."""
        return None if self.source is None else self.source.last_stable_offset(tp)


class ChunkConsumer(driver.Consumer):  # type: ignore[misc]
    """One message for each chunk; what is committed to the group is display only."""

    def _new_consumer_thread(self) -> ChunkThread:
        return ChunkThread(self, loop=self.loop, beacon=self.beacon)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Release it before others take over; Faust forgets the acks before it commits them."""
        await self.app.ownership.release_after(self._commit_quietly)
        await super().on_partitions_revoked(revoked)

    async def on_stop(self) -> None:
        """Finish the running transactions before the clients are closed."""
        await self.app.ownership.release_after(self._commit_quietly)
        await super().on_stop()

    async def _commit_quietly(self) -> None:
        try:
            async with asyncio.timeout(_COMMIT_SECONDS):
                await self.commit()
        except Exception as error:
            self.log.info("the group's offsets are not committed (display only): %r", error)

    def _new_offset(self, tp: TP) -> int | None:
        """Commit what is applied, from the marker; Faust's deques of acks are not needed."""
        if not self.app.is_chunked(tp.topic):
            return super()._new_offset(tp)  # type: ignore[no-any-return]
        self._acked[tp].clear()
        self._acked_index[tp].clear()
        return self.app.ownership.next_offset(tp.partition)  # type: ignore[no-any-return]

    async def perform_seek(self) -> None:
        """The marker says where to continue, not the group's offset."""
        await super().perform_seek()
        topic = self.app.source_topic
        ownership = self.app.ownership
        if owned := [TP(topic, partition) for partition in ownership.positions()]:
            ends = await self.highwaters(*owned)
            firsts = await self.earliest_offsets(*owned)
            ownership.check_positions(
                {tp.partition: offset for tp, offset in firsts.items()},
                {tp.partition: offset for tp, offset in ends.items()},
            )
            await self.seek_wait({TP(topic, p): at for p, at in ownership.positions().items()})
        for partition in ownership.idle():
            self.pause_partition(partition)

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Judge nothing here: `checks.progress_watchdog` judges each partition by what it applied.

        Faust's own, every seven seconds, reads aiokafka's states from another thread, and ends the
        worker where a partition has no position just then: first assigned, behind removed records.
        """

    def verify_recovery_event_path(self, now: float, tp: TP) -> None:
        """As above: our recovery reads through a client of its own."""

    # What a processor asks of its source.

    def stable_offset(self, partition: int) -> int | None:
        """Return the last stable offset that the last fetch brought.

        Not the high watermark: behind a foreign open transaction nothing can be read up to there.
        """
        return self._thread.stable_offset(TP(self.app.source_topic, partition))  # type: ignore[no-any-return]

    def pause_partition(self, partition: int) -> None:
        """Fetch no more of it, also when its stream has room again."""
        tp = TP(self.app.source_topic, partition)
        self._buffered_partitions.discard(tp)
        self.pause_partitions([tp])

    async def resume_partition(self, partition: int, offset: int) -> None:
        """Fetch it again, from this offset."""
        await self.seek_partition(partition, offset)
        self.resume_partitions([TP(self.app.source_topic, partition)])

    async def seek_partition(self, partition: int, offset: int) -> None:
        """Fetch next from this offset."""
        await self.seek_wait({TP(self.app.source_topic, partition): offset})

    async def bounds(self, partition: int) -> tuple[int, int]:
        """Return the first offset that is still in the log, and its end."""
        tp = TP(self.app.source_topic, partition)
        return int((await self.earliest_offsets(tp))[tp]), int((await self.highwaters(tp))[tp])

    async def _drain_messages(self, fetcher: Any) -> None:
        """Deliver each chunk as one message, in place of Faust's loop over records."""
        try:
            while not (self.should_stop or fetcher.should_stop):
                await self._drain_once()
        except self.consumer_stopped_errors:
            if not self.transport.app.should_stop:
                raise
        except asyncio.CancelledError:
            if not self.transport.app.should_stop:
                raise
        except Exception as error:
            end_process("fetch", error)

    async def _drain_once(self) -> None:
        generation = self.app.consumer_generation_id
        records, active = await self._wait_next_records(_POLL_SECONDS)
        await asyncio.sleep(0)
        if records and not self.should_stop and self.flow_active:
            deliver = self._deliver(records, active, generation)
            await self.wait_first(deliver, self.suspend_flow.wait())

    async def _deliver(self, records: Any, active: Any, generation: int) -> None:
        """Hand a fetch to the streams, until flow is suspended or the group moves on."""
        for topic_partition, items in records.items():
            tp = TP(topic_partition.topic, topic_partition.partition)
            # Faust has the changelogs assigned too. They are read by the recovery alone, which
            # sets a partition aside where one is damaged.
            for item in items if self.app.is_chunked(tp.topic) else ():
                if not self.flow_active or self.app.consumer_generation_id != generation:
                    return
                if active is not None and tp not in active and tp not in self._buffered_partitions:
                    break
                await self.callback(self._chunk_message(tp, item, generation))
                self._read_offset[tp] = item.offset

    def _chunk_message(self, tp: TP, chunk: RecordChunk, generation: int) -> ConsumerMessage:
        return ConsumerMessage(
            topic=tp.topic,
            partition=tp.partition,
            offset=chunk.offset,
            timestamp=chunk.max_timestamp_ms / 1000.0,
            timestamp_type=0,
            headers=[],
            key=None,
            value=chunk,
            checksum=None,
            serialized_key_size=0,
            serialized_value_size=0,
            tp=tp,
            generation_id=generation,
        )


class ChunkTransport(driver.Transport):  # type: ignore[misc]
    """Faust's aiokafka transport with our consumer."""

    Consumer = ChunkConsumer
