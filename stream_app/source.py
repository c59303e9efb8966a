"""What a pipe asks of the consumer of the readings topic."""

from __future__ import annotations

from typing import Protocol


class Source(Protocol):
    """The readings topic, as the partitions' pipes see it."""

    def end_offset(self, partition: int) -> int | None:
        """Return the high watermark that the last fetch brought."""

    async def seek(self, partition: int, offset: int) -> None:
        """Fetch next from this offset."""

    async def first_offset(self, partition: int) -> int:
        """Return the first offset that is still in the log."""
