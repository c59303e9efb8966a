"""Asks a partition's log whether it refuses a writer that is fenced, and takes the next one's.

Writes: a few records under a reserved key, which every reader passes over, by two producers of a
scratch id, to a partition that this worker has just fenced. Guarantees: returns only where the
log did both, and where nothing of the probe is still on its way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import ProducerFenced

from contract.changelog import PROBE_KEY
from contract.view import View
from kafka_io.transactional_producer import append_batch, drop_producer, end_transaction, fence_log
from stream_app.changelog.single_batches import NotProven

_BATCH_BYTES = 1_000
_TRANSACTION_TIMEOUT_MS = 10_000
_PAUSE_SECONDS = 0.002
_STOP_SECONDS = 2.0


async def probe_log(
    view: View, connection: Mapping[str, Any], view_version: int, partition: int
) -> None:
    """Have a newer producer fence an older one in the log, then let both append the same.

    Raises: NotProven; what aiokafka raises.
    """
    topic = view.changelog(view_version).name

    def new_producer() -> AIOKafkaProducer:
        return AIOKafkaProducer(
            **connection,
            client_id=view.probe_transactional_id(view_version, partition),
            transactional_id=view.probe_transactional_id(view_version, partition),
            transaction_timeout_ms=_TRANSACTION_TIMEOUT_MS,
            acks="all",
            retry_backoff_ms=20,
        )

    async def append(producer: AIOKafkaProducer) -> int:
        return await append_batch(
            producer, [(PROBE_KEY, b"1")], topic, partition, most_bytes=_BATCH_BYTES
        )

    older, newer = new_producer(), new_producer()
    try:
        await older.start()
        await older.partitions_for(topic)
        first = await append(older)
        await newer.start()
        await fence_log(newer, topic, partition)
        try:
            await append(older)
        except ProducerFenced:
            pass
        else:
            raise NotProven("its log takes the batches of a fenced writer")
        await _settle(append, newer, first)
    finally:
        await asyncio.gather(_end(older), _end(newer))


async def _end(producer: AIOKafkaProducer) -> None:
    """End a producer with nothing open; drop it where the broker does not answer.

    What a transaction left open, or a sender left running, would write to the log later, among
    the partition's commits.
    """
    try:
        async with asyncio.timeout(_STOP_SECONDS):
            await end_transaction(producer)
            await producer.stop()
    except Exception:
        await drop_producer(producer)


async def _settle(append: Any, newer: AIOKafkaProducer, before: int) -> None:
    """Append as the older one did, until both control records of the fence are in the log."""
    controls = 0
    while controls < 2:
        last = await append(newer)
        if last <= before:
            raise NotProven("its log takes a new writer's batch for a fenced one's, sent again")
        controls += last - before - 1
        before = last
        if controls > 2:
            raise NotProven("somebody else wrote to the log meanwhile")
        if controls < 2:
            await asyncio.sleep(_PAUSE_SECONDS)
