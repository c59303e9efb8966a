"""When what is folded is committed: at once when caught up, in large transactions when behind.

There is one Backlog for all partitions of a worker: what they have folded and not yet committed
shares one memory, and transactions of many devices take turns.
"""

from __future__ import annotations

import asyncio

from stream_app.partition.fold_state import PartitionFold

#: Source lag below which a partition is caught up and commits at once, in records.
CAUGHT_UP_RECORDS = 5_000
#: A transaction waits at most this long for more readings while its partition is behind...
LONGEST_WAIT_SECONDS = 3.0
#: ...and this long where the target is still to come: nobody reads fresh totals then, and of a
#: million devices 3 s bring too few readings each.
DEEP_WAIT_SECONDS = 15.0
#: A partition holds back its chunks while so many transactions' worth of it is pending...
PENDING_TRANSACTIONS = 2
#: ...and all do while so many targets of devices are: each takes some 300 bytes.
PENDING_TARGETS = 6
#: Quarantine records of one transaction, in bytes: they are far larger than totals, and each is
#: held several times on its way. 16 MiB were no quicker and took twice the memory.
QUARANTINE_BYTES = 4 * 1024 * 1024
#: Transactions of so many devices take turns: each is as large again as what was pending of it,
#: and two at once are not done sooner, for the work is Python's.
LARGE_DEVICES = 100_000
#: A transaction has so many devices at first, for each second of its timeout, and twice as many
#: after each that was quick. A device takes 6 us here: this is for machines 50 times as slow.
FIRST_DEVICES_PER_SECOND = 3_300
#: It may take this part of its timeout, or be smaller the next time: a machine that is twice as
#: slow for a while must not have it aborted, which would end the worker at the same backlog again.
PART_OF_TIMEOUT = 1 / 3


class Backlog:
    """What the partitions of a worker have folded and not yet committed."""

    def __init__(self, target_readings: int, timeout_seconds: float = 15.0) -> None:
        """Begin with no partition; far behind, `target_readings` make a transaction.

        `timeout_seconds` is Kafka's patience with an open one.
        """
        #: Held by the large transaction that runs.
        self.turn = asyncio.Lock()
        self._target = target_readings
        self._most_devices = int(timeout_seconds * FIRST_DEVICES_PER_SECOND)
        self._most_seconds = timeout_seconds * PART_OF_TIMEOUT
        self._folds: set[PartitionFold] = set()
        self._change = asyncio.Event()

    def join(self, fold: PartitionFold) -> None:
        """Count a partition in."""
        self._folds.add(fold)

    def leave(self, fold: PartitionFold) -> None:
        """Count out a partition that commits nothing for now: the others go on without it."""
        self._folds.discard(fold)
        self.changed()

    def changed(self) -> None:
        """Let those who wait look again."""
        self._change.set()

    async def change(self) -> None:
        """Wait until something was taken to be committed, or a partition is let go."""
        self._change.clear()
        await self._change.wait()

    def is_full(self, fold: PartitionFold) -> bool:
        """Tell whether a partition has to hold back what comes."""
        return self._has_too_many_devices() or self._makes(PENDING_TRANSACTIONS, fold)

    def is_due(self, fold: PartitionFold, behind: int, waited: float) -> bool:
        """Tell whether a partition commits what it has, or waits for more of it.

        `behind` are the records that are still to come, `waited` are seconds.
        """
        return (
            self._makes(1, fold)
            or waited >= self._longest_wait(fold, behind)
            or (self._has_too_many_devices() and self._is_largest(fold))
        )

    def took(self, devices: int, seconds: float) -> None:
        """Learn from a transaction of so many devices how many the next ones may have."""
        if seconds > self._most_seconds:
            slow = int(devices * self._most_seconds / seconds)
            self._most_devices = max(1, min(self._most_devices, slow))
        elif 2 * devices >= self._most_devices and 2 * seconds <= self._most_seconds:
            self._most_devices *= 2

    def is_large(self, fold: PartitionFold) -> bool:
        """Tell whether a partition's transaction takes its turn.

        Not where it has quarantine records, which Kafka may refuse for long.
        """
        return len(fold.pending.deltas) >= LARGE_DEVICES and not fold.pending.quarantined

    def _makes(self, transactions: int, fold: PartitionFold) -> bool:
        pending = fold.pending
        return (
            pending.is_worth(transactions, self._target)
            or len(pending.deltas) >= self._most_devices * transactions
            or pending.quarantined_bytes >= QUARANTINE_BYTES * transactions
        )

    def _has_too_many_devices(self) -> bool:
        devices = sum(len(fold.pending.deltas) for fold in self._folds)
        return devices >= self._target * PENDING_TARGETS

    def _is_largest(self, fold: PartitionFold) -> bool:
        most = max(len(other.pending.deltas) for other in self._folds)
        return len(fold.pending.deltas) >= most

    def _longest_wait(self, fold: PartitionFold, behind: int) -> float:
        if behind < CAUGHT_UP_RECORDS:
            return fold.view.commit_seconds
        return DEEP_WAIT_SECONDS if behind >= self._target else LONGEST_WAIT_SECONDS
