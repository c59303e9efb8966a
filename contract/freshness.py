"""How old readings are when they are counted and shown, whatever clocks stamped their records."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from itertools import accumulate

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


#: Upper bounds of a histogram of ages, in seconds: from one batch in a quiet log to a long stop.
AGE_BOUNDS = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)


class Ages:
    """How old readings were when something happened to them: a histogram.

    One thread adds; others may read meanwhile, and then see some readings a moment later.
    """

    def __init__(self) -> None:
        self._counts = [0] * (len(AGE_BOUNDS) + 1)
        #: Of the ages of all readings, in seconds.
        self.sum_seconds = 0.0

    @classmethod
    def of(cls, counts: list[int], sum_seconds: float) -> Ages:
        """Return those that another process has counted."""
        ages = cls()
        ages._counts, ages.sum_seconds = counts, sum_seconds
        return ages

    def counts(self) -> list[int]:
        """Return the number of readings in each bucket, to tell another process."""
        return self._counts

    def add(self, seconds: float, readings: int) -> None:
        """Count readings of one age; what lies in the future is 0 s old."""
        seconds = max(0.0, seconds)
        self._counts[bisect_left(AGE_BOUNDS, seconds)] += readings
        self.sum_seconds += seconds * readings

    def add_since(self, slices: Iterable[tuple[int, int]], now: float) -> None:
        """Count readings by when they were published: ms and how many, for each slice."""
        for published_ms, readings in slices:
            self.add(now - published_ms / 1000, readings)

    def buckets(self) -> list[tuple[str, float]]:
        """Return bound and number of readings up to it, ascending, as Prometheus writes them."""
        bounds = [*(str(bound) for bound in AGE_BOUNDS), "+Inf"]
        return list(zip(bounds, map(float, accumulate(self._counts)), strict=True))
