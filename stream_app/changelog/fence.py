"""The one door to single batches: whether a commit may be one, and who may have written.

docs/SINGLE_BATCHES.md is the argument. In short: a single batch is exact where the partition's
log refuses the batches of a writer that it knows to be fenced, where it knows so for longer than
any batch is under way, and where nobody else's batch is taken for one's own. The first is
probed (probe.py), the second bounded, the third compared with the offset of every commit.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from stream_app.changelog.sends import BATCH_BYTES
from stream_app.changelog.single_batches import REMEMBERED_MS, SingleBatches
from stream_app.errors import RestartNeeded
from stream_app.partition.pending import Transaction

#: Producer id and epoch of a writer.
Identity = tuple[int, int]

#: A coordinator gives another id after epoch 32,766. The last owners of an id take transactions
#: only, which the coordinator judges: then no single batch of the old id can be under way.
MOST_EPOCH = 30_000
#: How long a single batch may be in flight, from the decision on; then the process ends.
AGE_SECONDS = 30.0
#: After this long without a transaction the next commit is one, in which the coordinator confirms
#: that this writer still owns its id.
CONFIRM_SECONDS = 5.0
#: By then, a former owner that still runs has written its last single batch.
SETTLED_SECONDS = AGE_SECONDS + CONFIRM_SECONDS
#: How often an idle owner lets Kafka see its id.
KEEP_SECONDS = REMEMBERED_MS / 1000 / 4
#: More rows take a transaction: they may not fit into a batch, and its requests are not the cost.
ONE_BATCH_ROWS = 8_192
#: Most bytes that a record takes in a batch besides its key and value, and a batch besides them.
_RECORD_OVERHEAD, _BATCH_OVERHEAD = 21, 61


def boot_seconds() -> float:
    """Return a clock that also runs while the machine is suspended, where there is one."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot is None else time.clock_gettime(boot)


class WriterFence:
    """What one writer of one partition knows: may it append, and where must its commits stand."""

    def __init__(
        self, single_batches: SingleBatches, *, clock: Callable[[], float] = boot_seconds
    ) -> None:
        self._single_batches = single_batches
        self._clock = clock
        self._identity: Identity = (-1, -1)
        self._confirmed_at = self._decided_at = float("-inf")
        self._least, self._most = 0.0, float("inf")
        #: How many control records may be counted twice: in the end that was read, and behind it.
        self._counted_twice = 1
        self._is_named = True

    def now(self) -> float:
        """Return the time to hand to `confirmed`, taken before what confirms is sent."""
        return self._clock()

    def started(self, identity: Identity) -> None:
        """Note who this writer is."""
        self._identity = identity

    def confirmed(self, asked_at: float) -> None:
        """Note that the coordinator took a transaction of this writer, asked for at that time."""
        self._confirmed_at = asked_at

    def allows_single_batch(self, leader: int | None, rows: int = 0) -> bool:
        """Decide whether the next commit, of about so many rows, may be a single batch."""
        self._decided_at = self._clock()
        return (
            rows <= ONE_BATCH_ROWS
            and self._single_batches.is_proven(leader)
            and self._is_named
            and 0 <= self._identity[1] <= MOST_EPOCH
            and self._decided_at - self._confirmed_at < CONFIRM_SECONDS
        )

    def makes_single_batch(self, leader: int | None, transaction: Transaction) -> bool:
        """Decide whether this commit is a single batch: it may be, and it fits."""
        updates = transaction.updates
        if transaction.quarantined or not self.allows_single_batch(leader, len(updates)):
            return False
        size = sum(len(key) + len(value or b"") for key, value in updates)
        return size + _RECORD_OVERHEAD * len(updates) + _BATCH_OVERHEAD <= BATCH_BYTES

    def check_age(self) -> None:
        """Check that the batch decided on may still be under way. Raises: RestartNeeded."""
        age = self._clock() - self._decided_at
        if age > AGE_SECONDS:
            raise RestartNeeded(
                f"a commit is under way for {age:.0f} s, or the machine stood still meanwhile:"
                " another worker may have the partition"
            )

    def is_open_to(self, former: Identity | None) -> bool:
        """Return whether this log would still accept single batches of the last owner.

        So it is where the coordinator has given another producer id, unless the last owner's
        epoch allowed it transactions only, or single batches are possible for nobody.
        """
        return (
            former is not None
            and self._single_batches.are_possible
            and former[0] != self._identity[0]
            and former[1] <= MOST_EPOCH
        )

    # Where commits must stand

    def continues_at(self, end_offset: int, last_writer: Identity | None) -> None:
        """Note the log's end after this writer's fence, of which one control record may come.

        `last_writer` is who its marker names. Of another id, or of nobody, it would not warn an
        owner with a third id of a single batch by this writer: the first commit is a transaction.
        """
        self._least, self._most, self._counted_twice = end_offset, end_offset + 1, 1
        self._is_named = last_writer is not None and last_writer[0] == self._identity[0]

    def control_record(self) -> None:
        """Note that a control record of this writer is on its way to the log."""
        self._most += 1

    def all_but_the_last_are_written(self) -> None:
        """Note that the control records of this writer are in the log, but for the last one."""
        self._least = max(self._least, self._most - 1 - self._counted_twice)

    def not_counted(self, base_offset: int) -> range:
        """Return the offsets before a batch that stands further than this writer has written."""
        return range(int(self._least), base_offset if base_offset > self._most else 0)

    def control_records_until(self, base_offset: int) -> None:
        """Note that all before it are control records of this writer, of which some came twice."""
        self._most = base_offset

    def appended(self, base_offset: int, count: int, *, all_written: bool) -> None:
        """Compare where a batch is with where it must.

        `all_written`: every control record of this writer was in the log before it.
        Raises: RestartNeeded where somebody else has written, or nothing was appended.
        """
        if not self._least <= base_offset <= self._most:
            raise RestartNeeded(
                f"its commit stands at offset {base_offset} of the changelog, not at"
                f" {self._least:.0f}-{self._most:.0f}: somebody else has written to it"
            )
        self._is_named = True
        self._least = base_offset + count
        self._most = self._least if all_written else self._most + count
        if all_written:
            self._counted_twice = 0


async def keep_until(event: asyncio.Event, keep: Callable[[], Awaitable[None]]) -> None:
    """Wait for the event; an idle owner calls `keep` meanwhile, before Kafka forgets it.

    With it Kafka would forget who was fenced.
    """
    while not event.is_set():
        try:
            async with asyncio.timeout(KEEP_SECONDS):
                await event.wait()
        except TimeoutError:
            await keep()
