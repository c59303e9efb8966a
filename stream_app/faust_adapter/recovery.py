"""Faust's recovery, with the fence first and a bulk read in place of record by record."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from faust.tables.manager import TableManager
from faust.tables.recovery import Recovery
from faust.types import TP


def _partitions(tps: Iterable[TP]) -> list[int]:
    """Return the partitions of which Faust names a changelog for each view."""
    return sorted({tp.partition for tp in tps})


class FencedRecovery(Recovery):  # type: ignore[misc]
    """Runs in Faust's recovery task, where heartbeats continue; not in the rebalance callback."""

    async def _wait(self, coro: Any, timeout: float | None = None) -> None:
        """Wait as long as it takes: a timeout here would end the recovery task silently."""
        await super()._wait(coro)

    async def _build_highwaters(
        self, consumer: Any, tps: Any, destination: Any, title: str
    ) -> None:
        """Fence before anything of the changelog is read, so that its end is final."""
        if title == "active":
            await self.app.ownership.fence(_partitions(tps))
        await super()._build_highwaters(consumer, tps, destination, title)

    async def _build_offsets(self, consumer: Any, tps: Any, destination: Any, title: str) -> None:
        """Recover in bulk, and tell Faust that nothing is left.

        Faust waits for the offset before the end, which is a control record that no consumer
        is ever given.
        """
        await super()._build_offsets(consumer, tps, destination, title)
        if title == "active":
            await self.app.ownership.recover(_partitions(tps))
            for tp in tps:
                destination[tp] = self.active_highwaters[tp]

    async def on_recovery_completed(self, generation_id: int = 0) -> None:
        """Open the processors before Faust seeks and resumes the readings topic."""
        if generation_id == self.app.consumer_generation_id:
            self.app.ownership.begin(generation_id, self.app.source)
        await super().on_recovery_completed(generation_id)


class FencedTableManager(TableManager):  # type: ignore[misc]
    """Faust's table manager with our recovery."""

    @property
    def recovery(self) -> FencedRecovery:
        """Return the one recovery service, made at first use as Faust does."""
        recovery: FencedRecovery | None = self.__dict__.get("_recovery")
        if recovery is None:
            recovery = FencedRecovery(self.app, self, beacon=self.beacon, loop=self.loop)
            self._recovery = recovery
        return recovery
