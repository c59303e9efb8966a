"""Buckets of local time: where each begins, as an instant in UTC. Pure.

Instants are counted in quarters of an hour since 1970-01-01T00:00Z, the grain of the series. A
bucket is [edge, next edge). A local day begins at the first instant whose local date is that day:
days have 22 to 26 hours, a date that never was has no bucket. Hours and parts of them are cut in
local wall time, and a change of the zone's offset begins a new one. An edge within a quarter, as
few zones have them, is moved back to its beginning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from itertools import pairwise

QUARTER_SECONDS = 900
_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

#: Buckets shorter than a day: seconds of wall time.
_SHORT = {"15m": 900, "30m": 1800, "hour": 3600}


def _this_day(day: date) -> date:
    return day


def _this_week(day: date) -> date:
    return day - timedelta(days=day.weekday())


def _this_month(day: date) -> date:
    return day.replace(day=1)


def _this_year(day: date) -> date:
    return day.replace(month=1, day=1)


#: Longer ones: the first date of the bucket that a date is in, and a step into the next bucket.
_LONG: dict[str, tuple[Callable[[date], date], timedelta]] = {
    "day": (_this_day, _DAY),
    "week": (_this_week, timedelta(days=7)),
    "month": (_this_month, timedelta(days=31)),
    "year": (_this_year, timedelta(days=366)),
}


def edges(interval: str, zone: tzinfo, start: int, end: int) -> list[int]:
    """Return the edges of all buckets that have a part of [start, end); all in quarters.

    The first is at or before `start`, the last at or after `end`; buckets lie between them. An
    empty period has none.
    """
    if start >= end:
        return []
    found = list(_edges_from(interval, zone, start, end))
    # A quarter in which two edges fall has one; a week of dates that never were has none.
    return [edge for edge, after in pairwise(found) if edge < after] + found[-1:]


def _edges_from(interval: str, zone: tzinfo, start: int, end: int) -> Iterator[int]:
    """Yield edges that never go back, from the last one at or before `start`."""
    last: int | None = None
    steps = _short_edges if interval in _SHORT else _long_edges
    for edge in steps(interval, zone, start):
        if edge <= start:
            last = edge
            continue
        if last is not None:
            yield last
        last = edge
        if edge >= end:
            break
    if last is not None:
        yield last


def _long_edges(interval: str, zone: tzinfo, start: int) -> Iterator[int]:
    begin_of, step = _LONG[interval]
    # A bucket earlier: what a local date says about an instant near an edge is not always its
    # bucket.
    day = begin_of(begin_of(_local(zone, start * QUARTER_SECONDS).date()) - _DAY)
    while True:
        yield first_instant(zone, day) // QUARTER_SECONDS
        day = begin_of(day + step)


def _short_edges(interval: str, zone: tzinfo, start: int) -> Iterator[int]:
    seconds = _SHORT[interval]
    # A day earlier begins at an edge: every day does.
    at = first_instant(zone, _local(zone, start * QUARTER_SECONDS).date() - _DAY)
    offset = _offset(zone, at)
    while True:
        yield at // QUARTER_SECONDS
        after = at + seconds - (at + offset) % seconds
        if _offset(zone, after) == offset:
            at = after
        else:
            at = _change(zone, at, after)
            offset = _offset(zone, at)


def first_instant(zone: tzinfo, day: date) -> int:
    """Return the first second since 1970 whose local date is `day`, or a later one."""
    return instant(zone, datetime.combine(day, time()))


def instant(zone: tzinfo, wall: datetime) -> int:
    """Return the second since 1970 at which a zone's clocks show `wall` (without a zone).

    The first one where they show it twice; the jump where they never do.
    """
    first = seconds_since_1970(wall.replace(tzinfo=zone, fold=0))
    second = seconds_since_1970(wall.replace(tzinfo=zone, fold=1))
    if first <= second:
        return first
    # In a gap the two guesses, by the offset before and by the one after it, enclose the jump.
    return _change(zone, second, first)


def _change(zone: tzinfo, before: int, after: int) -> int:
    """Return the first second in (before, after] with another offset than at `before`."""
    offset = _offset(zone, before)
    while after - before > 1:
        middle = (before + after) // 2
        if _offset(zone, middle) == offset:
            before = middle
        else:
            after = middle
    return after


def _local(zone: tzinfo, second: int) -> datetime:
    return (_EPOCH + timedelta(seconds=second)).astimezone(zone)


def _offset(zone: tzinfo, second: int) -> int:
    offset = _local(zone, second).utcoffset()
    assert offset is not None
    return offset // _SECOND


def seconds_since_1970(time: datetime) -> int:
    """Return the whole seconds of a time with a zone."""
    return (time - _EPOCH) // _SECOND
