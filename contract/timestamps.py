"""Timestamps of readings: one strict rule, and the same rule over a whole chunk at once."""

from __future__ import annotations

import re
from binascii import unhexlify
from datetime import UTC, datetime, timedelta
from functools import lru_cache

_SHAPE = re.compile(
    r"(\d{4}-\d{2}-\d{2})[ T](\d{2}):(\d{2}):(\d{2})(?:\.\d{1,9})?(?:Z|([+-])(\d{2}):(\d{2}))?",
    re.ASCII,
)
_FIRST = datetime(1970, 1, 1, tzinfo=UTC)
_END = datetime(2106, 1, 1, tzinfo=UTC)
_LARGEST_OFFSET = timedelta(hours=18)

#: Plain timestamps are judged by their two halves, which repeat: dates, and the day's seconds.
_DATES_KEPT = 4096
_TIMES_KEPT = 86_400
_SEPARATORS = frozenset(" T")
#: A longer text is never plain, and must not be kept in a cache.
_PLAIN_CHARACTERS = len("2025-04-30 10:11:21Z")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME = re.compile(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z?")
#: So many timestamps are looked at one by one rather than halved again.
_FEW = 32
_PARTS = 8

#: A plain timestamp and the line feed that joins it to the next one, each digit as 0.
_ROW = b"0000-00-00 00:00:00\n"
_TO_SHAPE = bytes.maketrans(b"123456789T", b"000000000 ")
_NO_DIGITS = b"-:T \n"
#: Two digits as one byte: `31` is 0x31. A row is century, year, month, day, hour, minute, second.
_PAIRS = 7
_HOURS = unhexlify("".join(f"{hour:02}" for hour in range(24)))
_SIXTY = unhexlify("".join(f"{number:02}" for number in range(60)))
_LONGEST_MONTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
#: Month and day as one character (0x0229), matched by a character class in C.
_MONTH_DAYS = re.compile(
    "["
    + "".join(
        chr(int(f"{month:02}{day:02}", 16))
        for month, days in enumerate(_LONGEST_MONTHS, 1)
        for day in range(1, days + 1)
    )
    + "]*"
)
_LEAP_DAY = chr(0x0229)


def timestamp_fault(text: str) -> str | None:
    """Say why the text is no timestamp, or None when it is one."""
    if (
        len(text) <= _PLAIN_CHARACTERS
        and text[10:11] in _SEPARATORS
        and _is_plain_date(text[:10])
        and _is_plain_time(text[11:])
    ):
        return None
    shape = _SHAPE.fullmatch(text)
    if shape is None:
        if text.startswith("\ufeff"):
            return "begins with a byte order mark"
        return "not YYYY-MM-DD hh:mm:ss with optional fraction and offset"
    date, hour, minute, second, sign, offset_hours, offset_minutes = shape.groups()
    midnight = _midnight(date)
    if midnight is None or hour > "23" or minute > "59" or second > "59":
        return "not a real date and time"
    # Year 1 and year 9999 cannot be moved to UTC; both are outside 1970-2105 all the same.
    if not 1969 <= midnight.year <= 2106:
        return "outside 1970-2105"
    offset = timedelta()
    if sign:
        if offset_minutes > "59":
            return "offset is not a real one"
        offset = timedelta(hours=int(offset_hours), minutes=int(offset_minutes))
        if offset > _LARGEST_OFFSET:
            return "offset is over 18:00"
    since_midnight = timedelta(hours=int(hour), minutes=int(minute), seconds=int(second))
    instant = midnight + since_midnight + (offset if sign == "-" else -offset)
    return None if _FIRST <= instant < _END else "outside 1970-2105"


def faulty_timestamps(texts: list[str]) -> list[int]:
    """Return the places of the texts that `timestamp_fault` refuses, in order."""
    if len(texts) <= _FEW:
        return [place for place, text in enumerate(texts) if timestamp_fault(text)]
    if are_plain_timestamps(texts):
        return []
    size = -(-len(texts) // _PARTS)
    return [
        start + place
        for start in range(0, len(texts), size)
        for place in faulty_timestamps(texts[start : start + size])
    ]


@lru_cache(maxsize=_DATES_KEPT)
def _is_plain_date(date: str) -> bool:
    if _DATE.fullmatch(date) is None:
        return False
    midnight = _midnight(date)
    return midnight is not None and _FIRST <= midnight < _END


@lru_cache(maxsize=_TIMES_KEPT)
def _is_plain_time(time: str) -> bool:
    return _TIME.fullmatch(time) is not None


@lru_cache(maxsize=_DATES_KEPT)
def _midnight(date: str) -> datetime | None:
    try:
        return datetime(int(date[:4]), int(date[5:7]), int(date[8:]), tzinfo=UTC)
    except ValueError:
        return None


def are_plain_timestamps(texts: list[str]) -> bool:
    """Return whether all texts are valid timestamps of the plain form `2025-04-30 10:11:21`.

    A final `Z` on all of them, or some, is plain too. False says only that `timestamp_fault`
    has to look at each. A few passes in C over the joined text: 0.1 us for each, where the
    strict rule takes 0.3 to 3 us.
    """
    joined = "\n".join(texts)
    if len(joined) != len(texts) * len(_ROW) - 1:
        joined = "\n".join([text.removesuffix("Z") for text in texts])
        if len(joined) != len(texts) * len(_ROW) - 1:
            return False
    if not joined.isascii():
        return False
    rows = joined.encode("ascii") + b"\n"
    # The line feeds must stand exactly at the end of each row, so no two texts can be cut
    # apart elsewhere and still look right.
    if rows.translate(_TO_SHAPE) != _ROW * len(texts):
        return False
    pairs = unhexlify(rows.translate(None, _NO_DIGITS))
    month_days = bytearray(2 * len(texts))
    month_days[0::2] = pairs[2::_PAIRS]
    month_days[1::2] = pairs[3::_PAIRS]
    days = month_days.decode("utf-16-be")
    return (
        _MONTH_DAYS.fullmatch(days) is not None
        and not pairs[4::_PAIRS].translate(None, _HOURS)
        and not pairs[5::_PAIRS].translate(None, _SIXTY)
        and not pairs[6::_PAIRS].translate(None, _SIXTY)
        and (pairs[0::_PAIRS].count(0x20) == len(texts) or _are_in_range(texts))
        and (_LEAP_DAY not in days or _are_leap_days_real(texts))
    )


def _are_in_range(texts: list[str]) -> bool:
    return all("1970" <= year <= "2105" for year in {text[:4] for text in texts})


def _are_leap_days_real(texts: list[str]) -> bool:
    dates = {text[:10] for text in texts if text[5:10] == "02-29"}
    return all(_midnight(date) is not None for date in dates)
