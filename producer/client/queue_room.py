"""How much may be under way to Kafka at once, in records and bytes; shared by all threads."""

from __future__ import annotations

from threading import Condition

from producer.errors import ProducerStopped, QueueFull


class QueueRoom:
    """Room that is reserved before records are handed over, and released when they have ended."""

    def __init__(self, most_records: int, most_bytes: int) -> None:
        self._most_records = most_records
        self._most_bytes = most_bytes
        self._released = Condition()
        self.records = self._bytes = 0
        #: Nothing is reserved any more.
        self.is_closed = False

    def reserve(self, records: int, size: int) -> None:
        """Take room; what is larger than the queue goes alone.

        Raises: QueueFull, ProducerStopped.
        """
        with self._released:
            if self.is_closed:
                raise ProducerStopped
            if self.records and (
                self.records + records > self._most_records or self._bytes + size > self._most_bytes
            ):
                raise QueueFull
            self.records += records
            self._bytes += size

    def release(self, records: int, size: int) -> None:
        """Give room back."""
        with self._released:
            self.records -= records
            self._bytes -= size
            self._released.notify_all()

    def close(self, deadline_seconds: float) -> None:
        """Reserve nothing any more, and wait until all is released, at most so long."""
        with self._released:
            self.is_closed = True
            self._released.wait_for(lambda: not self.records, deadline_seconds)
