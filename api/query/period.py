"""A period of time as a query names it: `start` and `end`, read in a time zone. Pure."""

from __future__ import annotations

import re
from datetime import date, datetime, tzinfo

from api.query.time_buckets import QUARTER_SECONDS, first_instant, instant, seconds_since_1970
from contract.timestamps import timestamp_fault

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_FRACTION = re.compile(r"\.(\d+)", re.ASCII)
#: Years of readings: contract.timestamps refuses others.
_FIRST_YEAR, _LAST_YEAR = 1970, 2105


class BadMoment(ValueError):
    """No date and no date and time; the message says why."""


def quarter_at_or_before(text: str, zone: tzinfo) -> int:
    """Return the quarter, since 1970, that the moment is in. Raises: BadMoment."""
    second, _ = _moment(text, zone)
    return second // QUARTER_SECONDS


def quarter_at_or_after(text: str, zone: tzinfo) -> int:
    """Return the first quarter, since 1970, that begins at the moment or later.

    Raises: BadMoment.
    """
    second, has_fraction = _moment(text, zone)
    return -(-(second + has_fraction) // QUARTER_SECONDS)


def _moment(text: str, zone: tzinfo) -> tuple[int, bool]:
    """The second since 1970 in which a moment lies, and whether it is later than its beginning.

    A date is the beginning of that day in the zone. A time without an offset is read in the zone:
    the first one where its clocks show it twice, the jump where they never do.
    """
    if _DATE.fullmatch(text):
        try:
            day = date.fromisoformat(text)
        except ValueError:
            raise BadMoment(f"{text!r} is not a real date") from None
        if not _FIRST_YEAR <= day.year <= _LAST_YEAR:
            raise BadMoment(f"{text!r} is outside {_FIRST_YEAR}-{_LAST_YEAR}")
        return first_instant(zone, day), False
    fault = timestamp_fault(text)
    if fault is not None:
        raise BadMoment(f"{text[:64]!r} is no date (2025-04-30) and no date and time: {fault}")
    moment = datetime.fromisoformat(text)
    fraction = _FRACTION.search(text)
    has_fraction = fraction is not None and fraction[1].strip("0") != ""
    whole = moment.replace(microsecond=0)
    second = instant(zone, whole) if whole.tzinfo is None else seconds_since_1970(whole)
    return second, has_fraction
