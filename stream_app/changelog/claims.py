"""The writers of a worker's partitions: nobody else can commit once they have started.

`fence` comes first, then `recover`: between the two, nobody can change the changelogs. If a claim
fails, all of its writers are stopped.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping

from contract.changelog import MARKER_KEY, encode_marker
from stream_app.changelog.fence import SETTLED_SECONDS
from stream_app.changelog.recovery import ChangelogRecovery, Found, Recovered
from stream_app.changelog.store_records import require_marker
from stream_app.changelog.writer import TransactionWriter
from stream_app.errors import PartitionRefusal
from stream_app.partition.pending import Transaction

log = logging.getLogger(__name__)

#: A fence waits for the abort of an open transaction, a broker restart included.
FENCE_SECONDS = 60.0
STOP_SECONDS = 10.0


class Claims:
    """The partitions that this worker has fenced."""

    def __init__(
        self, new_writer: Callable[[int], TransactionWriter], recovery: ChangelogRecovery
    ) -> None:
        self._new_writer = new_writer
        self._recovery = recovery
        self.writers: dict[int, TransactionWriter] = {}

    async def fence(self, partitions: list[int]) -> None:
        """Start a new writer for each; raises what Kafka says, TimeoutError after FENCE_SECONDS."""
        writers = {partition: self._new_writer(partition) for partition in partitions}
        try:
            async with asyncio.timeout(FENCE_SECONDS):
                await asyncio.gather(*(writer.start() for writer in writers.values()))
        except BaseException:
            # Another rebalance began, or Kafka refuses. A writer left open would only leak.
            await asyncio.shield(stop_writers(writers.values()))
            raise
        self.writers |= writers

    def identities(self, partitions: list[int]) -> dict[int, tuple[int, int]]:
        """Return producer id and epoch of the partitions' writers."""
        return {partition: self.writers[partition].identity for partition in partitions}

    async def recover(self, partitions: list[int]) -> dict[int, Found]:
        """Recover; a partition that a former owner can still write to is recovered twice.

        Its log does not know that owner as fenced, because Kafka gave this one another producer id.
        """
        if not partitions:
            return {}
        writers = {p: self.writers[p] for p in partitions if p in self.writers}
        recovered = await self._recovery.recover(partitions)
        open_to = [p for p, found in recovered.items() if self._is_open_to_a_former(p, found)]
        if open_to:
            log.warning(
                "partitions %s: Kafka gave this worker another producer id than the last one's;"
                " waiting %.0f s for what that may still write",
                open_to,
                SETTLED_SECONDS,
            )
            await asyncio.sleep(SETTLED_SECONDS)
            try:
                if self._has(writers):
                    recovered |= await self._settle({p: writers[p] for p in open_to})
            except Exception:
                # Released meanwhile: the rebalance that has begun stops the writers.
                if self._has(writers):
                    raise
        for partition, found in recovered.items():
            writer = writers.get(partition)
            if writer is not None and isinstance(found, Recovered):
                last_writer = require_marker(found.store, partition).writer
                writer.fence.continues_at(found.end_offset, last_writer)
        return recovered

    def _has(self, writers: Mapping[int, TransactionWriter]) -> bool:
        """Return whether these are still the partitions' writers."""
        return all(self.writers.get(p) is writer for p, writer in writers.items())

    async def _settle(self, writers: Mapping[int, TransactionWriter]) -> dict[int, Found]:
        """Recover partitions again, and put this worker's name into their markers.

        Without it, each rebalance before their next commit would wait again.
        """
        recovered = await self._recovery.recover(list(writers))
        signed = []
        for partition, writer in writers.items():
            found = recovered[partition]
            if isinstance(found, PartitionRefusal) or not self._is_open_to_a_former(
                partition, found
            ):
                continue
            # Not the newer writer of another rebalance, which has not recovered yet.
            former = require_marker(found.store, partition)
            writer.fence.continues_at(found.end_offset, former.writer)
            marker = former.signed_by(writer.identity)
            transaction = Transaction([(MARKER_KEY, encode_marker(marker))], [], marker)
            await writer.write(transaction)
            # A commit is answered before it is in the log.
            await writer.keep()
            signed.append(partition)
        if signed:
            recovered |= await self._recovery.recover(signed)
        return recovered

    def _is_open_to_a_former(self, partition: int, found: Found) -> bool:
        writer = self.writers.get(partition)
        if writer is None or isinstance(found, PartitionRefusal):
            return False
        marker = require_marker(found.store, partition)
        return writer.fence.is_open_to(marker.writer)

    async def give_up(self, partitions: Iterable[int]) -> None:
        """Stop the partitions' writers, whatever they answer."""
        given_up = [self.writers.pop(p) for p in partitions if p in self.writers]
        await stop_writers(given_up)


async def stop_writers(writers: Iterable[TransactionWriter]) -> None:
    """Stop writers whatever they answer: they have nothing open that matters."""

    async def stop(writer: TransactionWriter) -> None:
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await writer.stop()
        except Exception as error:
            log.info("a writer is dropped with what it had under way: %r", error)
            await writer.drop()

    await asyncio.gather(*(stop(writer) for writer in writers))
