"""A worker whose calendar goes quickly: `python -m tests.fault.quick_days`.

By its clock for old quarters a day is over in half a minute, so that the cutoff moves again and
again under what happens to it. All processes that are given one beginning agree on the day.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from stream_app.partition.roll_up import RollUp

COMMAND = [sys.executable, "-m", "tests.fault.quick_days"]
#: Seconds since 1970 at which the calendar was at FIRST.
BEGAN = "FAULT_CALENDAR_BEGAN"
FIRST = datetime(2025, 4, 30, 10, 11, 21, tzinfo=UTC)
#: Seconds of the calendar in one of ours.
SPEED = 3_000.0
#: So many days of it are kept.
KEPT_DAYS = 1


def environ() -> dict[str, str]:
    """Return what a worker needs to begin its calendar now."""
    return {BEGAN: repr(time.time()), "ENERGY_SERIES_DAYS": str(KEPT_DAYS)}


def calendar_since(began: float) -> Callable[[], float]:
    """Return a clock of seconds since 1970, by the calendar."""
    first = FIRST.timestamp()
    return lambda: first + SPEED * (time.time() - began)


def go_by_the_calendar() -> None:
    """Let what is old be told by the calendar, where one has begun."""
    if BEGAN not in os.environ:
        return
    calendar, begin = calendar_since(float(os.environ[BEGAN])), RollUp.__init__

    def begin_by_it(self: RollUp, retention: Any, marker: Any, days: int, _: object) -> None:
        begin(self, retention, marker, days, calendar)

    RollUp.__init__ = begin_by_it  # type: ignore[method-assign]


if __name__ == "__main__":
    go_by_the_calendar()
    from stream_app.__main__ import main

    sys.exit(main())
