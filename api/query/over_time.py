"""`/v0/pipes/energy_consumption_over_time[.FORMAT]`: sums by bucket of local time."""

from __future__ import annotations

from collections.abc import Generator
from typing import Literal, NamedTuple, Self

from pydantic import Field, model_validator

from api.auth.bounds import Bounds
from api.errors import BadRequest
from api.query.bucket_sums import BucketSum, Grouping, bucket_sums, too_many
from api.query.paging import paged
from api.query.series_rows import BUCKETS, written
from api.query.table import Table
from api.query.time_buckets import edges
from api.query.time_parameters import TimeParameters
from api.query.time_zones import parse_zone
from api.view.series import Filter
from api.view.series_copy.snapshot import SeriesSnapshot
from contract.decimals import Number

PIPE = "/v0/pipes/energy_consumption_over_time"
#: Of one answer, as many as it would have with `fill`.
MOST_BUCKETS = 1_000_000
#: What the short buckets are at most: quarters of an hour.
_QUARTERS = {"15m": 1, "30m": 2, "hour": 4}


class OverTime(TimeParameters):
    """Which buckets, of which groups, and in which order."""

    interval: Literal["15m", "30m", "hour", "day", "week", "month", "year"] = Field(
        "day", description="How long a bucket is, in local time; weeks begin on Monday"
    )
    group_by: Literal["none", "device_id", "location", "device_id,location"] = Field(
        "none", description="A row for each of these in a bucket"
    )
    fill: Literal["none", "null", "zero"] = Field(
        "none",
        description="What a bucket without a reading has: no row, or a total that is null or 0."
        " The latter for each group with a reading from `start` to `end`, both of which it needs",
    )
    order_by: Literal["start", "-start"] = Field(
        "start", description="The order of the buckets; within one: groups, ascending"
    )

    @model_validator(mode="after")
    def _know_what_to_fill(self) -> Self:
        if self.fill != "none" and (self.start is None or self.end is None):
            raise BadRequest(f"parameter fill: {self.fill} needs both start and end")
        return self

    def query(self, bounds: Bounds | None) -> OverTimeQuery:
        """Return what is asked of a series."""
        return OverTimeQuery(
            self.interval,
            self.timezone,
            self.first_quarter,
            self.end_quarter,
            self.only(bounds),
            Grouping("device_id" in self.group_by, "location" in self.group_by),
            self.fill,
            self.order_by == "-start",
            self.limit,
            self.offset,
        )


class OverTimeQuery(NamedTuple):
    """What is asked for; `start` and `end` in quarters, None: as far as there are readings."""

    interval: str
    timezone: str
    start: int | None
    end: int | None
    only: Filter
    grouping: Grouping
    fill: str
    descending: bool
    limit: int | None
    offset: int

    @property
    def table(self) -> Table:
        """The columns of the rows."""
        return BUCKETS[(*self.grouping, self.fill == "null")][0]

    def slices(self, series: SeriesSnapshot) -> Generator[list[object], None, int]:
        """Yield the rows and return how many there are before offset and limit.

        Raises: BadRequest for more buckets than an answer may have.
        """
        kind = BUCKETS[(*self.grouping, self.fill == "null")][1]
        nothing: tuple[Number | None, str | None, int]
        nothing = (None, None, 0) if self.fill == "null" else (0, "0", 0)

        def row(cell: BucketSum) -> object:
            found = cell.sum
            sums = nothing if found is None else (*written(found.total), found.readings)
            return kind(cell.start, *cell.names, *sums)

        cells = bucket_sums(
            series,
            self._edges(series),
            parse_zone(self.timezone),
            self.only,
            self.grouping,
            fill=self.fill != "none",
            descending=self.descending,
            most=MOST_BUCKETS,
        )
        return (yield from paged(cells, row, self.offset, self.limit))

    def _edges(self, series: SeriesSnapshot) -> list[int]:
        """Return the edges of all buckets, none where there is no reading in an open period."""
        start, end = self.start, self.end
        if start is None or end is None:
            extent = series.extent(self.only)
            if extent is None:
                return []
            # A bucket that `start` or `end` is in is whole, even where all readings lie beyond.
            if start is None:
                start = extent.start if end is None else min(extent.start, end - 1)
            end = max(extent.end, start + 1) if end is None else end
        at_least = (end - start) // _QUARTERS.get(self.interval, end - start or 1)
        if at_least > MOST_BUCKETS:
            # Known at once; so many edges would take seconds.
            raise too_many(at_least, MOST_BUCKETS)
        return edges(self.interval, parse_zone(self.timezone), start, end)
