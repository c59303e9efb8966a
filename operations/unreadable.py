"""Finds batches of readings that cannot be read, where the live view stands before one.

Reads: one fetch of each partition that has something to be counted. Writes: nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from aiokafka.errors import KafkaError

from contract.kafka import KafkaSettings
from contract.topics import READINGS
from kafka_io.batches.chunk import UnreadableBatch
from kafka_io.batches.reader import ChunkReader
from stream_app.changelog.origin import LostOffsets, unreadable
from stream_app.errors import PartitionRefusal

_ANSWER_SECONDS = 5.0


def find_unreadable(
    settings: KafkaSettings, next_offsets: Mapping[int, int]
) -> list[PartitionRefusal]:
    """Look at what comes next in each partition; what is not answered in time is left out."""
    if not next_offsets:
        return []
    try:
        return asyncio.run(_find(settings, next_offsets))
    except (KafkaError, OSError, TimeoutError):
        return []


async def _find(settings: KafkaSettings, next_offsets: Mapping[int, int]) -> list[PartitionRefusal]:
    found, missing = [], set(next_offsets)
    async with (
        asyncio.timeout(_ANSWER_SECONDS),
        ChunkReader(settings.for_aiokafka(), READINGS.name, client_id="energy-status") as reader,
    ):
        reader.assign(next_offsets)
        while missing:
            for chunk in await reader.chunks(0.2):
                if chunk.partition in missing:
                    missing.discard(chunk.partition)
                    try:
                        for _ in chunk.slices():
                            pass
                    except UnreadableBatch as batch:
                        lost = LostOffsets(batch.first, batch.last)
                        found.append(unreadable(chunk.partition, lost, batch.why))
    return found
