"""What a pipe asks of the consumer of the readings topic."""

from __future__ import annotations

from typing import Protocol


class Source(Protocol):
    """The readings topic, as the partitions' pipes see it."""

    def end_offset(self, partition: int) -> int | None:
        """Return up to where the last fetch said that it can be read; None before any."""

    async def seek(self, partition: int, offset: int) -> None:
        """Fetch next from this offset."""

    def pause(self, partition: int) -> None:
        """Fetch no more of it."""

    async def resume(self, partition: int, offset: int) -> None:
        """Fetch again, from this offset."""

    async def bounds(self, partition: int) -> tuple[int, int]:
        """Return the first offset that is still in the log, and its end."""
