"""A parcel: up to some thousand records of a delivery whose reports are counted together."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from confluent_kafka import KafkaError, Message


class Parcel:
    """Records to one topic: `expected` is how many of them librdkafka took."""

    __slots__ = (
        "_lock",
        "_on_end",
        "_reported",
        "acknowledged",
        "expected",
        "failures",
        "is_ended",
        "offsets",
        "records",
        "size",
        "topic",
        "unreported",
    )

    def __init__(
        self, lock: Lock, on_end: Callable[[Parcel], None], topic: str, records: int, size: int
    ) -> None:
        """`lock` is the delivery's; `on_end`, which takes over the counts, is called once."""
        self.topic = topic
        self.records = self.expected = records
        self.size = size
        self.acknowledged = 0
        self.offsets: dict[int, int] = {}
        self.failures: list[tuple[KafkaError, bytes | None]] = []
        self._lock, self._on_end = lock, on_end
        self._reported = 0
        #: Records that librdkafka never reported on.
        self.unreported = 0
        self.is_ended = False

    def report(self, error: KafkaError | None, message: Message) -> None:
        """Take Kafka's report of one record; only ever called by the poll thread."""
        if error is None:
            self.acknowledged += 1
            # Within a partition reports come in the order of the log.
            self.offsets[message.partition()] = message.offset()  # type: ignore[index, assignment]
        else:
            self.failures.append((error, message.value()))
        self._reported += 1
        if self._reported == self.expected:
            self._end()

    def expect(self, sent: int) -> None:
        """Expect so many reports; called by the sender, who may be the last one to know."""
        self.expected = sent
        if self._reported == sent:
            self._end()

    def abandon(self) -> None:
        """Wait no longer for what is not reported; what comes yet is not looked at."""
        self.unreported = self.expected - self._reported
        self._end()

    def _end(self) -> None:
        with self._lock:
            if self.is_ended:
                return
            self.is_ended = True
        self._on_end(self)
