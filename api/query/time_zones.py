"""Time zones by name or offset, from the pinned zone data of the package `tzdata`.

Not from the machine: two machines would answer the same question differently.
"""

from __future__ import annotations

import re
from datetime import UTC, timedelta, timezone, tzinfo
from functools import lru_cache
from importlib import resources
from zoneinfo import ZoneInfo

import tzdata

from contract.errors import echo

#: The release of the zone data, as IANA names it: `2026c`.
VERSION: str = tzdata.IANA_VERSION

_OFFSET = re.compile(r"([+-])(\d{2}):([0-5]\d)", re.ASCII)
_LARGEST_OFFSET = timedelta(hours=18)
#: Names in the zone data that are abbreviations: each stands for several zones somewhere.
_ABBREVIATIONS = {
    *("CET", "EET", "EST", "HST", "MET", "MST", "WET"),
    *("CST6CDT", "EST5EDT", "MST7MDT", "PST8PDT", "Factory"),
}


class UnknownZone(ValueError):
    """No IANA name and no offset; the message says which text, and what would be one."""


def parse_zone(text: str) -> tzinfo:
    """Return the zone of an IANA name (`Europe/Berlin`) or an offset (`+05:30`, at most 18 h).

    Raises: UnknownZone.
    """
    if text == "UTC":
        return UTC
    offset = _OFFSET.fullmatch(text)
    if offset is not None:
        sign, hours, minutes = offset.groups()
        ahead = timedelta(hours=int(hours), minutes=int(minutes))
        if ahead <= _LARGEST_OFFSET:
            return timezone(-ahead if sign == "-" else ahead)
    elif text in names():
        return _zone(text)
    raise UnknownZone(
        f"{echo(text)} is neither an IANA name such as Europe/Berlin nor an offset such as +05:30"
    )


@lru_cache(maxsize=1)
def names() -> frozenset[str]:
    """Return every name that is accepted."""
    listed = resources.files("tzdata").joinpath("zones").read_text(encoding="utf-8").split()
    return frozenset(listed) - _ABBREVIATIONS


@lru_cache(maxsize=1024)
def _zone(name: str) -> ZoneInfo:
    place = resources.files("tzdata").joinpath("zoneinfo", *name.split("/"))
    with place.open("rb") as file:
        return ZoneInfo.from_file(file, key=name)
