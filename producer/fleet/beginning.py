"""From when on a simulated home has readings, as a person writes it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from contract.errors import SettingError

_BACK = re.compile(r"-([0-9]{1,5})([dh])")
_UNITS = {"d": "days", "h": "hours"}
_FIRST, _END = datetime(1970, 1, 1, tzinfo=UTC), datetime(2106, 1, 1, tzinfo=UTC)


def beginning(text: str, now: datetime) -> datetime:
    """Read a date, a date and time (UTC unless it says otherwise), or `-7d`, `-12h`.

    Raises: SettingError.
    """
    if back := _BACK.fullmatch(text):
        unit = _UNITS[back[2]]
        moment = now.replace(microsecond=0) - timedelta(**{unit: int(back[1])})
    else:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise SettingError(
                "--from", "must be a date, a date and time, or a time ago such as -7d or -12h"
            ) from None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
    if not _FIRST <= moment < _END:
        raise SettingError("--from", "must be from 1970 to 2105")
    return moment.astimezone(UTC)
