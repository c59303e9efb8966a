"""A worker that ends or stops at a named step of its work: `python -m tests.fault.failpoints`.

`python -m tests.fault.failpoints committed:25` runs a worker that kills itself (SIGKILL) when it
has passed that step 25 times; `changelog_sent:25:stop` stops it there (SIGSTOP). Its writers and
processors are the classes below, in place of the ones that `stream_app.app` names; all else is the
worker as a user starts it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import sys
from typing import Any

from stream_app import app
from stream_app.__main__ import main
from stream_app.changelog.writer import TransactionWriter
from stream_app.ownership.processor import PartitionProcessor
from stream_app.partition.commit_protocol import (
    Acknowledge,
    AppendTotals,
    Begin,
    Commit,
    CommitEffect,
    ReadOld,
    ReadStore,
    SendQuarantined,
    SendTotals,
    TransactionEffect,
    WriteStore,
    WriteTransaction,
)
from tests.fault.quick_days import go_by_the_calendar

log = logging.getLogger(__name__)

#: In the order in which a partition's work passes them.
STEPS = (
    "fenced",
    "recovered",
    "fetched",
    "folded",
    "begun",
    "store_read",
    "quarantine_sent",
    "changelog_sent",
    "batch_made",
    "batch_sent",
    "end_sent",
    "committed",
    "store_written",
    "acknowledged",
)
PATTERN = re.compile(rf"({'|'.join(STEPS)}):([1-9][0-9]{{0,8}})(:stop)?")
_AFTER: dict[type, str] = {
    ReadOld: "store_read",
    ReadStore: "store_read",
    SendQuarantined: "quarantine_sent",
    SendTotals: "changelog_sent",
    WriteTransaction: "committed",
    WriteStore: "store_written",
    Acknowledge: "acknowledged",
}
#: About what such a request takes to Kafka: whether it is carried out is open then.
_ON_ITS_WAY_SECONDS = 0.0005


class Failpoint:
    """One step, at which the process ends or stops once."""

    def __init__(self, text: str) -> None:
        """Begin to count; `text` is STEP:TIMES[:stop]. Raises: ValueError."""
        found = PATTERN.fullmatch(text)
        if found is None:
            raise ValueError(f"{text} is not STEP:TIMES[:stop], STEP one of {', '.join(STEPS)}")
        self._step, times, stop = found.groups()
        self._left = int(times)
        self._signal = signal.SIGSTOP if stop else signal.SIGKILL

    def passes(self, step: str) -> None:
        """Note that a step was passed; does not return where the process ends there."""
        if step != self._step:
            return
        self._left -= 1
        if self._left == 0:
            log.warning("failpoint: %s, %s", step, self._signal.name)
            os.kill(os.getpid(), self._signal)


class FailingWriter(TransactionWriter):
    """A writer that tells a failpoint where it is."""

    failpoint: Failpoint

    async def start(self) -> None:
        """Pass `fenced`."""
        await super().start()
        self.failpoint.passes("fenced")

    async def begin(self, devices: int) -> None:
        """Pass `begun`."""
        await super().begin(devices)
        self.failpoint.passes("begun")

    async def _do(self, effect: TransactionEffect) -> int | None:
        if isinstance(effect, AppendTotals):
            self.failpoint.passes("batch_made")
        if isinstance(effect, Commit | AppendTotals):
            ending = asyncio.create_task(super()._do(effect))
            await asyncio.sleep(_ON_ITS_WAY_SECONDS)
            self.failpoint.passes("end_sent" if isinstance(effect, Commit) else "batch_sent")
            return await ending
        answer = await super()._do(effect)
        if not isinstance(effect, Begin):
            self.failpoint.passes(_AFTER[type(effect)])
        return answer


class FailingProcessor(PartitionProcessor):
    """A processor that tells a failpoint where it is."""

    failpoint: Failpoint

    def start(self) -> None:
        """Pass `recovered`: only what is recovered has a processor."""
        self.failpoint.passes("recovered")
        super().start()

    async def has_room(self) -> bool:
        """Pass `fetched`."""
        self.failpoint.passes("fetched")
        return await super().has_room()

    async def follow(self, *judged: Any) -> bool:
        """Pass `folded`."""
        is_folded = await super().follow(*judged)
        self.failpoint.passes("folded")
        return is_folded

    async def _do(self, effect: CommitEffect) -> Any:
        answer = await super()._do(effect)
        self.failpoint.passes(_AFTER[type(effect)])
        return answer


if __name__ == "__main__":
    FailingWriter.failpoint = FailingProcessor.failpoint = Failpoint(sys.argv[1])
    app.TransactionWriter, app.PartitionProcessor = FailingWriter, FailingProcessor  # type: ignore[misc]
    go_by_the_calendar()
    sys.exit(main())
