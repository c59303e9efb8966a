"""How old the newest counted reading is, whatever clocks its records were stamped by."""

from __future__ import annotations

from collections.abc import Iterable

#: A CreateTime before 1973 is none: 0, 1, -1, or seconds that were taken for milliseconds.
FIRST_TIME_MS = 100_000_000_000
#: What Kafka itself takes of a clock that is ahead of its own, unless told otherwise.
AHEAD_MS = 3_600_000


def is_time(timestamp_ms: int, now_ms: int) -> bool:
    """Whether a record's CreateTime can be one: not before 1973, not an hour ahead of now."""
    return FIRST_TIME_MS <= timestamp_ms <= now_ms + AHEAD_MS


def freshness_seconds(newest_ms: Iterable[int], now_ms: int) -> float | None:
    """Return the age of the newest of these times, None if there is none; never negative.

    One far ahead of now, which workers of earlier builds wrote into markers, says nothing.
    """
    newest = max((each for each in newest_ms if each <= now_ms + AHEAD_MS), default=-1)
    return None if newest < 0 else max(0, now_ms - newest) / 1000
