"""Sums of devices out of the series: by device in a period, or at some locations."""

from __future__ import annotations

from collections.abc import Generator
from typing import NamedTuple

from api.query.paging import paged
from api.query.series_rows import ordered, written
from api.query.table import Table
from api.query.totals import EXACT_TOTALS, TOTALS, ExactRow, Row
from api.view.series import DeviceSum, Filter, Period
from api.view.series_copy.snapshot import SeriesSnapshot


class DeviceQuery(NamedTuple):
    """What is asked for; `period` None: of all time."""

    period: Period | None
    only: Filter
    order_by: str
    limit: int | None
    offset: int
    exact: bool

    @property
    def table(self) -> Table:
        """The columns of the rows."""
        return EXACT_TOTALS if self.exact else TOTALS

    def slices(self, series: SeriesSnapshot) -> Generator[list[Row] | list[ExactRow], None, int]:
        """Yield the rows and return how many there are before offset and limit."""
        devices = ordered(series.by_device(self.period, self.only), self.order_by)
        if self.exact:
            return (yield from paged(devices, _exact_row, self.offset, self.limit))
        return (yield from paged(devices, _row, self.offset, self.limit))


def _row(device: DeviceSum) -> Row:
    return Row(device.device_id, written(device.total)[0])


def _exact_row(device: DeviceSum) -> ExactRow:
    return ExactRow(device.device_id, *written(device.total), device.readings)
