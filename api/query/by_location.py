"""`/v0/pipes/energy_consumption_by_location[.FORMAT]`: sums by location, all or in a period."""

from __future__ import annotations

from collections.abc import Generator
from typing import Literal, NamedTuple

from pydantic import Field

from api.auth.bounds import Bounds
from api.query.paging import paged
from api.query.series_rows import LOCATIONS, LocationRow, ordered, written
from api.query.table import Table
from api.query.time_parameters import TimeParameters
from api.view.series import Filter, Period, PlaceSum
from api.view.series_copy.snapshot import SeriesSnapshot

PIPE = "/v0/pipes/energy_consumption_by_location"


class ByLocation(TimeParameters):
    """Which sums of locations, and in which order."""

    order_by: Literal[
        "location", "-location", "total_energy_consumed", "-total_energy_consumed"
    ] = Field("location", description="The order of the rows; the same totals: by location")

    def query(self, bounds: Bounds | None) -> LocationQuery:
        """Return what is asked of a series."""
        return LocationQuery(self.period, self.only(bounds), self.order_by, self.limit, self.offset)


class LocationQuery(NamedTuple):
    """What is asked for; `period` None: of all time."""

    period: Period | None
    only: Filter
    order_by: str
    limit: int | None
    offset: int

    @property
    def table(self) -> Table:
        """The columns of the rows."""
        return LOCATIONS

    def slices(self, series: SeriesSnapshot) -> Generator[list[LocationRow], None, int]:
        """Yield the rows and return how many there are before offset and limit."""
        places = ordered(series.by_location(self.period, self.only), self.order_by)
        return (yield from paged(places, _row, self.offset, self.limit))


def _row(place: PlaceSum) -> LocationRow:
    return LocationRow(place.location, *written(place.total), place.readings, place.devices)
