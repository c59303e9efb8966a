"""A device's total with its places and its first and last reading, as `/v0/devices/` shows it."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from api.auth.bounds import Bounds
from api.query.series_rows import written
from api.view.device_totals import Served, Total
from api.view.series import DeviceSeries, Filter
from api.view.series_view import SeriesView
from contract.decimals import sum_exactly

_ALL = Filter()


class Place(msgspec.Struct, gc=False, frozen=True):
    """What a device has at a location."""

    location: str
    total_energy_consumed: Served
    total_energy_consumed_exact: str
    readings: int


class PlacedTotal(msgspec.Struct, gc=False, frozen=True):
    """A Total, and what the series knows of the device: nothing yet of one that is new."""

    device_id: str
    total_energy_consumed: Served
    total_energy_consumed_exact: str
    readings: int
    locations: list[Place]
    #: To the second; written as `2025-04-30T10:11:21Z`.
    first_reading_at: datetime | None
    last_reading_at: datetime | None


def with_places(total: Total, source: SeriesView) -> PlacedTotal:
    """Add to a total what the series knows; one look-up, for the event loop."""
    with source.snapshot() as series:
        found = series.device(total.device_id, _ALL)
    return _placed(total, found)


def own_places(device_id: str, source: SeriesView, bounds: Bounds) -> PlacedTotal | None:
    """Return what a device has at a token's places, and their sum as its total; None: nothing."""
    only = Filter(*bounds.narrow((device_id,), None))
    if not only.devices:
        return None
    with source.snapshot() as series:
        found = series.device(device_id, only)
    if found is None:
        return None
    exact = sum_exactly(each.total for each in found.locations)
    readings = sum(each.readings for each in found.locations)
    return _placed(Total(device_id, *written(exact), readings), found)


def _placed(total: Total, found: DeviceSeries | None) -> PlacedTotal:
    places = [] if found is None else found.locations
    return PlacedTotal(
        total.device_id,
        total.total_energy_consumed,
        total.total_energy_consumed_exact,
        total.readings,
        [Place(each.location, *written(each.total), each.readings) for each in places],
        None if found is None else datetime.fromtimestamp(found.first, UTC),
        None if found is None else datetime.fromtimestamp(found.last, UTC),
    )
