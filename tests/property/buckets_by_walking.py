"""Buckets of local time a second time: a clock is walked, and each quarter asked what it shows.

Shares nothing with api/query/time_buckets.py but the standard library's datetime.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, tzinfo

QUARTER = timedelta(minutes=15)
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
INTERVALS = ("15m", "30m", "hour", "day", "week", "month", "year")


def transitions(zone: tzinfo, first: datetime, end: datetime) -> Iterator[datetime]:
    """Yield the instants in [first, end) at which the zone's offset changes, to the second."""
    before = first
    while before < end:
        after = before + DAY
        if before.astimezone(zone).utcoffset() != after.astimezone(zone).utcoffset():
            low, high = before, after
            while high - low > timedelta(seconds=1):
                middle = low + (high - low) // 2
                middle = middle.replace(microsecond=0)
                if middle.astimezone(zone).utcoffset() == low.astimezone(zone).utcoffset():
                    low = middle
                else:
                    high = middle
            yield high
        before = after


def beginnings(zone: tzinfo, first: datetime, end: datetime) -> dict[str, list[datetime]]:
    """Return, by interval, each quarter in [first, end) in which a bucket begins."""
    found: dict[str, list[datetime]] = {interval: [] for interval in INTERVALS}
    newest = (first - SECOND).astimezone(zone).date()
    open_now = _open_buckets((first - SECOND).astimezone(zone), newest)
    at = first
    while at < end:
        began = set()
        # A clock is looked at on the quarter and a second before the next one: what changes in
        # between belongs to this quarter.
        for moment in (at, at + QUARTER - SECOND):
            local = moment.astimezone(zone)
            newest = max(newest, local.date())
            now = _open_buckets(local, newest)
            began |= {interval for interval in INTERVALS if now[interval] != open_now[interval]}
            open_now = now
        for interval in began:
            found[interval].append(at)
        at += QUARTER
    return found


def _open_buckets(local: datetime, newest: date) -> dict[str, object]:
    """By interval, what names the bucket that is open; `newest` is the last date shown so far."""
    offset, minute = local.utcoffset(), local.hour * 60 + local.minute
    return {
        "15m": (offset, local.date(), minute // 15),
        "30m": (offset, local.date(), minute // 30),
        "hour": (offset, local.date(), local.hour),
        "day": newest,
        "week": newest.isocalendar()[:2],
        "month": (newest.year, newest.month),
        "year": newest.year,
    }


def quarter(moment: datetime) -> int:
    """Quarters since 1970."""
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // QUARTER


def moment(quarter_number: int) -> datetime:
    """The beginning of a quarter."""
    return datetime(1970, 1, 1, tzinfo=UTC) + quarter_number * QUARTER
