"""A period of time as a query names it: `start` and `end`, read in a time zone. Pure."""

from __future__ import annotations

import re
from datetime import date, datetime, tzinfo
from typing import NamedTuple

from api.query.time_buckets import QUARTER_SECONDS, first_instant, instant, seconds_since_1970
from contract.errors import echo
from contract.timestamps import timestamp_fault

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_FRACTION = re.compile(r"\.(\d+)", re.ASCII)
#: Years of readings: contract.timestamps refuses others.
_FIRST_YEAR, _LAST_YEAR = 1970, 2105


class BadInstant(ValueError):
    """No date and no date and time; the message says why."""


class Instant(NamedTuple):
    """An instant to the nanosecond: `second` counts from 1970-01-01T00:00Z."""

    second: int
    nanosecond: int
    #: It begins with the quarter that it begins in, as its bucket does.
    is_day: bool = False

    def is_before(self, other: Instant) -> bool:
        """Whether it is earlier, however little."""
        return self[:2] < other[:2]

    def rounded_down(self) -> int:
        """Return the quarter, since 1970, that it is in."""
        return self.second // QUARTER_SECONDS

    def rounded_up(self) -> int:
        """Return the first quarter, since 1970, that begins with it or later."""
        if self.is_day:
            return self.rounded_down()
        return -(-(self.second + (self.nanosecond > 0)) // QUARTER_SECONDS)


def parse_instant(text: str, zone: tzinfo) -> Instant:
    """Read a date, or a date and time, in a zone where it has no offset. Raises: BadInstant.

    A date is the beginning of that day in the zone. A time without an offset is the first one
    where the zone's clocks show it twice, the jump where they never do.
    """
    if _DATE.fullmatch(text):
        try:
            day = date.fromisoformat(text)
        except ValueError:
            raise BadInstant(f"{echo(text)} is not a real date") from None
        if not _FIRST_YEAR <= day.year <= _LAST_YEAR:
            raise BadInstant(f"{echo(text)} is outside {_FIRST_YEAR}-{_LAST_YEAR}")
        return Instant(first_instant(zone, day), 0, is_day=True)
    fault = timestamp_fault(text)
    if fault is not None:
        raise BadInstant(
            f"{echo(text)} is neither a date (2025-04-30) nor a date and time: {fault}"
        )
    parsed = datetime.fromisoformat(text)
    fraction = _FRACTION.search(text)
    nanosecond = 0 if fraction is None else int(fraction[1].ljust(9, "0"))
    whole = parsed.replace(microsecond=0)
    second = instant(zone, whole) if whole.tzinfo is None else seconds_since_1970(whole)
    return Instant(second, nanosecond)
