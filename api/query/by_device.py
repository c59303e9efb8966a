"""`/v0/pipes/energy_consumption_by_device[.FORMAT]`: totals of all devices, or of some.

Each shows one snapshot of one view version. A short listing is one answer; a long one is made by a
thread, into a file, and sent from there, however slowly it is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field
from starlette.responses import Response

from api.auth.bounds import Bounds
from api.http.allowance import Budget
from api.query.device_sums import DeviceQuery
from api.query.formats.catalogue import Format
from api.query.listing import Query
from api.query.pieces import pieces
from api.query.snapshot_answers import SnapshotAnswers
from api.query.time_parameters import TimeParameters
from api.view.totals_copy.snapshot import TotalsSnapshot
from api.view.totals_view import TotalsView

#: Long listings that wait, are made or are read.
LISTINGS = 128
#: Of them made at a time, each by a thread.
MAKERS = 2

PIPE = "/v0/pipes/energy_consumption_by_device"


class Listing(TimeParameters):
    """Which totals, and in which order."""

    order_by: Literal[
        "device_id", "-device_id", "total_energy_consumed", "-total_energy_consumed"
    ] = Field("device_id", description="The order of the rows")
    exact: Literal["true", "false"] = Field(
        "false", description="With the exact totals, as text, and how many readings they are of"
    )

    def is_of_series(self, bounds: Bounds | None) -> bool:
        """Whether the totals alone cannot answer it: it is about a period, or about locations."""
        has_locations = self.location is not None or (bounds and bounds.locations) is not None
        return has_locations or not (self.start is None and self.end is None)

    def series_query(self, bounds: Bounds | None) -> DeviceQuery:
        """Return what is asked of a series."""
        return DeviceQuery(
            self.period,
            self.only(bounds),
            self.order_by,
            self.limit,
            self.offset,
            exact=self.exact == "true",
        )

    def query(self, bounds: Bounds | None) -> Query:
        """Return what is asked of the totals."""
        devices = self.only(bounds).devices
        return Query(
            None if devices is None else tuple(devices),
            by_total=self.order_by.endswith("total_energy_consumed"),
            descending=self.order_by.startswith("-"),
            limit=self.limit,
            offset=self.offset,
            exact=self.exact == "true",
        )


class TotalsPipe:
    """Answers listings of totals, in every format."""

    def __init__(self, directory: Path, disk: Budget) -> None:
        self._long: SnapshotAnswers[TotalsSnapshot] = SnapshotAnswers(
            directory,
            disk,
            what="long listings",
            answers=LISTINGS,
            makers=MAKERS,
            has_read_all=False,
        )

    async def answer(
        self,
        token_name: str,
        query: Query,
        source: TotalsView,
        form: Format,
        headers: Mapping[str, str],
        *,
        began_at: float,
        is_head: bool = False,
    ) -> Response:
        """Answer with the rows asked for. Raises: ApiError."""
        with source.snapshot() as totals:
            if form.is_loaded() and query.is_short(totals):
                slices, writer = query.slices(totals), form.writer(query.table)
                made = pieces(slices, writer, began_at, has_read_all=False)
                return Response(b"".join(made), headers=headers, media_type=form.media_type)
        return await self._long.answer(
            token_name, query, source, form, headers, began_at=began_at, is_head=is_head
        )
