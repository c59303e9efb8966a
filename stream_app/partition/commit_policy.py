"""When what is folded is committed: at once when caught up, in large transactions when behind.

There is one Backlog for all partitions and views of a worker: what they have folded and not yet
committed shares one memory, and transactions of many rows take turns.
"""

from __future__ import annotations

import asyncio

from contract.view import View
from stream_app.partition.fold_state import PartitionFold

#: Source lag below which a partition is caught up and commits at once, in records.
CAUGHT_UP_RECORDS = 5_000
#: A transaction waits at most this long for more readings while its partition is behind...
LONGEST_WAIT_SECONDS = 3.0
#: ...and this long where the target is still to come: nobody reads fresh totals then, and of a
#: million devices 3 s bring too few readings each.
DEEP_WAIT_SECONDS = 15.0
_PAUSE_SECONDS = 0.005
_PAUSES_IN_COMMIT_SECONDS = 40
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
    """What a worker has folded and not yet committed; a device here is a row of any view."""

    def __init__(self, target_readings: int, timeout_seconds: float = 15.0) -> None:
        """Begin with no partition; far behind, `target_readings` make a transaction.

        `timeout_seconds` is Kafka's patience with an open one.
        """
        #: Held by the large transaction that runs.
        self.turn = asyncio.Lock()
        self._target = target_readings
        self._first_most = int(timeout_seconds * FIRST_DEVICES_PER_SECOND)
        # The first ones too: what their size leaves of the timeout on a slow machine is not there
        # for every partition of every view at once.
        self._large = min(LARGE_DEVICES, self._first_most)
        #: By view, because a row of one takes longer than another's.
        self._most_devices: dict[str, int] = {}
        self._most_seconds = timeout_seconds * PART_OF_TIMEOUT
        self._folds: set[PartitionFold] = set()
        #: Those that were behind when they were last asked about.
        self._catching_up: set[PartitionFold] = set()
        self._change = asyncio.Event()

    def join(self, fold: PartitionFold) -> None:
        """Count a partition in."""
        self._folds.add(fold)

    def leave(self, fold: PartitionFold) -> None:
        """Count out a partition that commits nothing for now: the others continue without it."""
        self._folds.discard(fold)
        self._catching_up.discard(fold)
        self.changed()

    def changed(self) -> None:
        """Let those who wait look again."""
        self._change.set()

    async def change(self) -> None:
        """Wait until something was taken to be committed, or a partition is released."""
        self._change.clear()
        await self._change.wait()

    def is_full(self, fold: PartitionFold) -> bool:
        """Return whether a partition has to hold back what comes."""
        return self._has_too_many_devices() or self._makes(PENDING_TRANSACTIONS, fold)

    def is_due(self, fold: PartitionFold, behind: int, waited: float) -> bool:
        """Return whether a partition commits what it has, or waits for more of it.

        `behind` are the records that are still to come, `waited` are seconds. One that has just
        caught up waits for no clock: what it has stands for many readings.
        """
        has_caught_up = behind <= 0 and fold in self._catching_up
        if behind >= CAUGHT_UP_RECORDS:
            self._catching_up.add(fold)
        elif behind <= 0:
            self._catching_up.discard(fold)
        return (
            has_caught_up
            or self._makes(1, fold)
            or waited >= self._longest_wait(fold, behind)
            or (self._has_too_many_devices() and self._is_largest(fold))
        )

    def pause(self, fold: PartitionFold, behind: int) -> float:
        """Return after how many seconds to ask again whether a partition is due.

        Far more often than its clock goes; while it is behind, sooner than others have to wait.
        """
        if behind >= CAUGHT_UP_RECORDS:
            return _PAUSE_SECONDS
        return max(_PAUSE_SECONDS, fold.view.commit_seconds / _PAUSES_IN_COMMIT_SECONDS)

    def took(self, view: View, devices: int, seconds: float) -> None:
        """Learn from a view's transaction of so many devices how many its next ones may have."""
        most = self._most(view)
        if seconds > self._most_seconds:
            slow = int(devices * self._most_seconds / seconds)
            self._most_devices[view.name] = max(1, min(most, slow))
        elif 2 * devices >= most and 2 * seconds <= self._most_seconds:
            self._most_devices[view.name] = 2 * most

    def is_large(self, fold: PartitionFold) -> bool:
        """Return whether a partition's transaction takes its turn.

        Not where it has quarantine records, which Kafka may refuse for long.
        """
        return fold.pending_rows >= self._large and not fold.pending.quarantined

    def _makes(self, transactions: int, fold: PartitionFold) -> bool:
        pending = fold.pending
        return (
            pending.is_worth(fold.pending_rows, transactions, self._target)
            or fold.pending_rows >= self._most(fold.view) * transactions
            or pending.quarantined_bytes >= QUARANTINE_BYTES * transactions
        )

    def _most(self, view: View) -> int:
        return self._most_devices.get(view.name, self._first_most)

    def _has_too_many_devices(self) -> bool:
        devices = sum(fold.pending_rows for fold in self._folds)
        return devices >= self._target * PENDING_TARGETS

    def _is_largest(self, fold: PartitionFold) -> bool:
        most = max(other.pending_rows for other in self._folds)
        return fold.pending_rows >= most

    def _longest_wait(self, fold: PartitionFold, behind: int) -> float:
        if behind < CAUGHT_UP_RECORDS:
            return fold.view.commit_seconds
        return DEEP_WAIT_SECONDS if behind >= self._target else LONGEST_WAIT_SECONDS
