"""What processors ask of the consumer of the readings topic, which reads for all views."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Protocol

from aiokafka.errors import KafkaError

log = logging.getLogger(__name__)


class Source(Protocol):
    """The readings topic, as the partitions' processors see it."""

    def end_offset(self, partition: int) -> int | None:
        """Return up to where the last fetch said that it can be read; None before any."""

    async def seek(self, partition: int, offset: int) -> None:
        """Fetch next from this offset."""

    async def pause(self, partition: int) -> None:
        """Fetch no more of it."""

    async def resume(self, partition: int, offset: int) -> None:
        """Fetch again, from this offset."""

    async def bounds(self, partition: int) -> tuple[int, int]:
        """Return the first offset that is still in the log, and its end."""


class SharedSource:
    """The readings topic for one of several views: what it asks for has to suit the others.

    A partition is fetched from the smallest offset that a view wants next; the others drop what
    they have. Only when no view works on it is it paused.
    """

    def __init__(self, source: Source, wanted: Callable[[int], Iterable[int]]) -> None:
        """`wanted` tells what the views that work on a partition want next of it."""
        self._source, self._wanted = source, wanted

    def end_offset(self, partition: int) -> int | None:
        """Return up to where the last fetch said that it can be read; None before any."""
        return self._source.end_offset(partition)

    async def seek(self, partition: int, offset: int) -> None:
        """Fetch next from this offset, or from before it where another view wants that."""
        await self._source.seek(partition, min((offset, *self._wanted(partition))))

    async def pause(self, partition: int) -> None:
        """Fetch no more of it; where other views work on it, what comes next for them.

        They may have been sought back for this one, perhaps far.
        """
        others = list(self._wanted(partition))
        if not others:
            return await self._source.pause(partition)
        try:
            await self._source.seek(partition, min(others))
        except KafkaError as error:
            log.info("partition %d: the others see again what they have: %r", partition, error)

    async def resume(self, partition: int, offset: int) -> None:
        """Fetch again, from this offset or from before it."""
        await self._source.resume(partition, min((offset, *self._wanted(partition))))

    async def bounds(self, partition: int) -> tuple[int, int]:
        """Return the first offset that is still in the log, and its end."""
        return await self._source.bounds(partition)
