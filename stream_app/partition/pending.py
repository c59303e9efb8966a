"""What is folded and not yet written, and what a transaction makes of it."""

from __future__ import annotations

from typing import Any, NamedTuple

from contract.changelog import Marker
from contract.view import Deltas, Update
from kafka_io.batches.chunk import BatchStamp

#: With fewer readings for each row, what a transaction writes costs more than what it reads:
#: far behind, it is worth waiting for more of them...
READINGS_PER_ROW = 16
#: ...but not for more than this many times the target.
LARGEST_TARGETS = 4


class QuarantineRecord(NamedTuple):
    """A record for the quarantine topic, same partition as its origin."""

    key: bytes | None
    value: bytes


class Transaction(NamedTuple):
    """What one Kafka transaction holds, and then the store: `updates` end with the marker."""

    updates: list[Update]
    quarantined: list[QuarantineRecord]
    marker: Marker


class Pending:
    """What is folded and not yet in a transaction."""

    __slots__ = (
        "ages",
        "batch",
        "counted",
        "deltas",
        "events",
        "newest_ms",
        "odd_times",
        "quarantined",
        "quarantined_bytes",
    )

    def __init__(self, deltas: Deltas) -> None:
        """Begin empty, with a view's empty deltas."""
        self.deltas = deltas
        self.counted = 0
        self.newest_ms = -1
        #: For each slice the time of its first record, in ms, and how many readings it has.
        self.ages: list[tuple[int, int]] = []
        #: Records whose CreateTime is no time.
        self.odd_times = 0
        #: The last batch of the readings that is folded.
        self.batch: BatchStamp | None = None
        self.quarantined: list[QuarantineRecord] = []
        self.quarantined_bytes = 0
        #: What the framework wants acknowledged once this is applied; opaque here.
        self.events: list[Any] = []

    def is_worth(self, rows: int, transactions: int, target_readings: int) -> bool:
        """Return whether it makes so many transactions, each of the target or worth more.

        `rows` is about how many a commit of it would write.

        Every row touched is a record written, so many rows want larger transactions. Memory goes
        by rows, not by readings: twice as many rows as the target end the wait.
        """
        target = target_readings * transactions
        if self.counted < target or rows >= 2 * target:
            return self.counted >= target
        wanted = rows * READINGS_PER_ROW * transactions
        return self.counted >= min(wanted, target * LARGEST_TARGETS)
