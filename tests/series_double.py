"""A series in memory: readings kept one by one and added up when asked, as plainly as can be."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import NamedTuple

from api.view.series import Sum
from contract.decimals import Number
from tests.series_reference import Cell, CellSeries

QUARTER_SECONDS = 900


class Sample(NamedTuple):
    """A reading: `second` counts from 1970-01-01T00:00Z."""

    device_id: str
    location: str
    second: int
    energy: Number

    @property
    def quarter(self) -> int:
        return self.second // QUARTER_SECONDS


class MemorySeries(CellSeries):
    """The snapshot of some readings; `before` has the sums that retention has added up."""

    def __init__(
        self,
        samples: Iterable[Sample] = (),
        before: Mapping[tuple[str, str], Sum] | None = None,
        applied_offsets: Sequence[int] = (9,),
    ) -> None:
        self.samples = list(samples)
        self.before = dict(before or {})
        self.applied_offsets = list(applied_offsets)
        self.removed_rows = 0

    def all_cells(self) -> Iterator[Cell]:
        for each in self.samples:
            yield Cell(each.device_id, each.location, each.quarter, Decimal(each.energy), 1)
        for (device_id, location), (total, readings) in self.before.items():
            yield Cell(device_id, location, -1, Decimal(total), readings)

    def seconds(self, device_id: str, locations: Collection[str] | None) -> list[int]:
        return [
            each.second
            for each in self.samples
            if each.device_id == device_id and (locations is None or each.location in locations)
        ]


class MemorySource:
    """A view that shows a MemorySeries; counts the snapshots that are open."""

    log = ("cluster", "topic")

    def __init__(self, series: MemorySeries, view_version: int = 1) -> None:
        self.series = series
        self.view_version = view_version
        self.open = 0

    def shown_offsets(self) -> list[int]:
        return list(self.series.applied_offsets)

    def removed_rows(self) -> list[int]:
        return [self.series.removed_rows for _ in self.series.applied_offsets]

    @contextmanager
    def snapshot(self) -> Iterator[MemorySeries]:
        self.open += 1
        try:
            yield self.series
        finally:
            self.open -= 1
