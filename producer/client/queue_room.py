"""How much may be under way to Kafka at once, in records and bytes; shared by all threads."""

from __future__ import annotations

from threading import Condition

from producer.errors import ProducerStopped, QueueFull


class QueueRoom:
    """Room that is reserved before records are handed over, and released when they have ended."""

    def __init__(self, most_records: int, most_bytes: int) -> None:
        """Begin empty."""
        self._most_records = most_records
        self._most_bytes = most_bytes
        self._changed = Condition()
        self.records = self._bytes = 0
        #: Nothing is reserved any more.
        self.is_closed = False

    def reserve(self, records: int, size: int, *, block: bool = True) -> None:
        """Take room. Raises: QueueFull unless blocking, ProducerStopped."""
        with self._changed:
            while not self.is_closed and not self._fits(records, size):
                if not block:
                    raise QueueFull
                self._changed.wait()
            if self.is_closed:
                raise ProducerStopped
            self.records += records
            self._bytes += size

    def release(self, records: int, size: int) -> None:
        """Give room back."""
        with self._changed:
            self.records -= records
            self._bytes -= size
            self._changed.notify_all()

    def close(self, deadline_seconds: float) -> None:
        """Reserve nothing any more, and wait until all is released, at most so long."""
        with self._changed:
            self.is_closed = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self.records, deadline_seconds)

    def _fits(self, records: int, size: int) -> bool:
        # What is larger than the queue goes alone.
        return not self.records or (
            self.records + records <= self._most_records and self._bytes + size <= self._most_bytes
        )
