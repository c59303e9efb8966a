"""What tokens may do: all scopes there are, and which of them lets a token do what."""

from __future__ import annotations

from functools import cache

ADMIN = "ADMIN"
APPEND = "DATASOURCES:APPEND:energy_consumption"
READ_DATASOURCES = "DATASOURCES:READ:energy_consumption"
READ_TOTALS = "PIPES:READ:energy_consumption_by_device"
READ_OVER_TIME = "PIPES:READ:energy_consumption_over_time"
READ_BY_LOCATION = "PIPES:READ:energy_consumption_by_location"
READ_QUARANTINE = "PIPES:READ:energy_consumption_quarantine"
READ_PIPES = "PIPES:READ:*"
READ_METRICS = "METRICS:READ"

SCOPES = (
    ADMIN,
    APPEND,
    READ_DATASOURCES,
    READ_TOTALS,
    READ_OVER_TIME,
    READ_BY_LOCATION,
    READ_QUARANTINE,
    READ_PIPES,
    READ_METRICS,
)
#: What these are for cannot be cut down to some rows.
ABOUT_ALL_ROWS = frozenset({READ_DATASOURCES, READ_METRICS})


@cache
def granting(scope: str) -> frozenset[str]:
    """Return the scopes of which one is enough to do what this one is for."""
    wider = f"{scope.rpartition(':')[0]}:*"
    return frozenset({ADMIN, scope, wider}.intersection(SCOPES))
