"""A worker on a machine whose wall clock jumps: `python -m tests.fault.jumping_clock`.

Changes what Python's clocks tell, in this process alone, before anything else is imported. The
monotonic clock is left as it is: no machine's jumps.
"""

from __future__ import annotations

import datetime
import sys
import time
from typing import Any

#: How long the clock goes before it jumps, and the years it is off by, one after the other.
SECONDS = 0.25
YEARS = (0, 10, -10, 3, -1)
YEAR_SECONDS = 365 * 86_400

_true_time, _true_ns = time.time, time.time_ns


def _off() -> int:
    return YEARS[int(time.monotonic() / SECONDS) % len(YEARS)] * YEAR_SECONDS


class JumpingDatetime(datetime.datetime):
    """Tells the time of the jumping clock."""

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> JumpingDatetime:
        return cls.fromtimestamp(time.time(), tz)


def jump() -> None:
    """Let every wall clock of this process jump."""
    time.time = lambda: _true_time() + _off()
    time.time_ns = lambda: _true_ns() + _off() * 10**9
    datetime.datetime = JumpingDatetime  # type: ignore[misc]


def jump_in_batches() -> None:
    """Let aiokafka's batches, made in C with a clock of their own, be stamped with ours."""
    from aiokafka.producer.message_accumulator import BatchBuilder

    append = BatchBuilder.append

    def stamped(self: Any, *, timestamp: int | None, **record: Any) -> Any:
        stamp = time.time_ns() // 1_000_000 if timestamp is None else timestamp
        return append(self, timestamp=stamp, **record)

    BatchBuilder.append = stamped


if __name__ == "__main__":
    jump()
    jump_in_batches()
    from stream_app.__main__ import main

    sys.exit(main())
