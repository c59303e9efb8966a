"""How far the readings topic reaches: its ends, asked for four times a second.

Reads only offsets (the high watermarks), without a group. When the broker does not answer the
lag is unknown; it is never taken from an old answer.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from math import inf
from typing import Any

from aiokafka.errors import KafkaError

from contract.errors import text_of
from contract.topics import READINGS
from kafka_io.batches.reader import ChunkReader

log = logging.getLogger("api.view.end_offsets")

POLL_SECONDS = 0.25
#: An answer older than this says nothing about now: no lag is wrong for longer.
OLD_SECONDS = 1.0
#: Without an answer for so long Kafka is away, not just busy.
SILENT_SECONDS = 3.0
ANSWER_SECONDS = 2.0
PARTITION_POLLS = 40
SILENT_POLLS = 10


class LagWatch:
    """The newest known ends of the readings topic."""

    def __init__(
        self, connection: Mapping[str, Any], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Store the arguments; `run` asks."""
        self._connection = connection
        self._clock = clock
        self._ends: dict[int, int] = {}
        self._asked_at: float | None = None

    def saw(self, end_offsets: Mapping[int, int], asked_at: float | None = None) -> None:
        """Take in the ends as they were when they were asked for, or are now."""
        self._ends = dict(end_offsets)
        self._asked_at = self._clock() if asked_at is None else asked_at

    def end_offsets(self) -> dict[int, int] | None:
        """Return the ends by partition, None if they are not known."""
        return self._ends if self._age_seconds() <= OLD_SECONDS else None

    @property
    def is_silent(self) -> bool:
        """Return whether Kafka has not answered for a while, or never has."""
        return self._age_seconds() > SILENT_SECONDS

    def _age_seconds(self) -> float:
        return inf if self._asked_at is None else self._clock() - self._asked_at

    async def ends_from_now(self) -> dict[int, int]:
        """Return the ends as they are after this call; waits until Kafka tells them."""
        asked_at = self._clock()
        while self._asked_at is None or self._asked_at <= asked_at:  # noqa: ASYNC110 - polled too
            await asyncio.sleep(POLL_SECONDS / 5)
        return self._ends

    def lag_records(self, applied_offsets: Sequence[int]) -> int | None:
        """Return the records not applied yet over all partitions, None if not known."""
        ends = self.end_offsets()
        if ends is None:
            return None
        lag = 0
        for partition, end in ends.items():
            applied = applied_offsets[partition] if partition < len(applied_offsets) else -1
            # The view may be newer than the answer about the ends.
            lag += max(0, end - applied - 1)
        return lag

    async def run(self) -> None:
        """Ask until cancelled; after a while without an answer, over a new connection."""
        while True:
            try:
                async with ChunkReader(
                    self._connection,
                    READINGS.name,
                    read_committed=False,
                    client_id="energy-api-lag",
                ) as reader:
                    await self._poll(reader)
            except (KafkaError, OSError) as error:
                log.warning("the ends of %s are unknown: %s", READINGS.name, text_of(error))
            await asyncio.sleep(POLL_SECONDS)

    async def _poll(self, reader: ChunkReader) -> None:
        silent = 0
        partitions: list[int] = []
        for poll in count():
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    if poll % PARTITION_POLLS == 0 or not partitions:
                        partitions = await reader.partitions()
                    if partitions:
                        asked_at = self._clock()
                        self.saw(await reader.end_offsets(partitions), asked_at)
                silent = 0
            except (KafkaError, TimeoutError) as error:
                log.warning("the ends of %s are unknown: %s", READINGS.name, text_of(error))
                silent += 1
                if silent >= SILENT_POLLS:
                    return
            await asyncio.sleep(POLL_SECONDS)
