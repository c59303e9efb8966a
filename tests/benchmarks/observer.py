"""Somebody outside: follows a contender's output topic, read_committed, and notes when it ends.

The same for all contenders: the output is a topic of totals by device; a partition of the
readings is through when the total of its last device can be read. Imports of ours: the reader
of raw record batches, which is the cheapest there is, so that observing costs little.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from kafka_io.batches.reader import ChunkReader


class Seen(NamedTuple):
    """What was read: when the last device was, the newest value of each key, all records."""

    ended_at: float
    last: dict[tuple[int, bytes], bytes]
    records: int


async def observe(
    connection: Mapping[str, object],
    topic: str,
    awaited: set[bytes],
    check: Callable[[], None],
    device_key_of: Callable[[bytes], bytes],
) -> Seen:
    """Read until each awaited device was seen, and then all there is.

    `check` is called now and then, and raises when the contender has died.
    """
    last: dict[tuple[int, bytes], bytes] = {}
    records = 0
    waiting = set(awaited)
    async with ChunkReader(connection, topic) as reader:
        while not (partitions := await reader.partitions()):
            check()
            await asyncio.sleep(0.1)
        begins = await reader.beginning_offsets(partitions)
        reader.assign(begins)
        ended_at = 0.0
        ends: dict[int, int] = {}
        while waiting or any([await reader.position(p) < end for p, end in ends.items()]):
            check()
            for chunk in await reader.chunks(0.2):
                records += len(chunk.records)
                for record in chunk.records:
                    key, value = record.key, record.value
                    if key is None or value is None:
                        continue
                    last[chunk.partition, key] = value
                    if waiting and (device := device_key_of(key)) in waiting:
                        waiting.discard(device)
            if not waiting and not ends:
                ended_at = time.monotonic()
                ends = await reader.end_offsets(partitions)
    return Seen(ended_at, last, records)
