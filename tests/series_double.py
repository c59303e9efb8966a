"""A series in memory: readings kept one by one and added up when asked, as plainly as can be."""

from __future__ import annotations

import decimal
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from api.view.series import (
    DeviceSeries,
    DeviceSum,
    Filter,
    Group,
    Period,
    PlaceSum,
    Series,
    Sum,
)
from contract.decimals import EXACT, Number

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


def total(numbers: Iterable[Number]) -> Number:
    with decimal.localcontext(EXACT):
        return sum(numbers)


class MemorySeries:
    """The Series of some readings; `before` has the sums that retention has added up."""

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

    def _of(self, only: Filter, period: Period | None) -> list[Sample]:
        return [
            each
            for each in self.samples
            if is_in(only, each.device_id, each.location)
            and (period is None or period.start <= each.quarter < period.end)
        ]

    def _sums(self, only: Filter, period: Period | None) -> dict[tuple[str, str], Sum]:
        """By device and location, with `before` where no period is asked for."""
        energies: dict[tuple[str, str], list[Number]] = defaultdict(list)
        for each in self._of(only, period):
            energies[each.device_id, each.location].append(each.energy)
        sums = {key: Sum(total(some), len(some)) for key, some in energies.items()}
        for key, kept in self.before.items() if period is None else ():
            if is_in(only, *key):
                found = sums.get(key, Sum(0, 0))
                sums[key] = Sum(total([found.total, kept.total]), found.readings + kept.readings)
        return sums

    def extent(self, only: Filter) -> Period | None:
        quarters = [each.quarter for each in self._of(only, None)]
        return Period(min(quarters), max(quarters) + 1) if quarters else None

    def groups(
        self, edges: Sequence[int], only: Filter, *, by_device: bool, by_location: bool
    ) -> Iterator[Group]:
        energies: dict[tuple[str | None, str | None], dict[int, list[Number]]] = {}
        for each in self._of(only, Period(edges[0], edges[-1])):
            key = (each.device_id if by_device else None, each.location if by_location else None)
            buckets = energies.setdefault(key, defaultdict(list))
            buckets[bisect_right(edges, each.quarter) - 1].append(each.energy)
        for device_id, location in sorted(energies, key=lambda key: (key[0] or "", key[1] or "")):
            some = energies[device_id, location]
            buckets_of = [
                Sum(total(some[place]), len(some[place])) if place in some else None
                for place in range(len(edges) - 1)
            ]
            yield Group(device_id, location, buckets_of)

    def by_device(self, period: Period | None, only: Filter) -> list[DeviceSum]:
        parts: dict[str, list[Sum]] = defaultdict(list)
        for (device_id, _), each in self._sums(only, period).items():
            parts[device_id].append(each)
        return [DeviceSum(name, *added(parts[name])) for name in sorted(parts)]

    def by_location(self, period: Period | None, only: Filter) -> list[PlaceSum]:
        parts: dict[str, list[Sum]] = defaultdict(list)
        for (_, location), each in self._sums(only, period).items():
            parts[location].append(each)
        return [PlaceSum(name, *added(parts[name]), len(parts[name])) for name in sorted(parts)]

    def device(self, device_id: str, only: Filter) -> DeviceSeries | None:
        mine = Filter([device_id], only.locations)
        seconds = [each.second for each in self._of(mine, None)]
        if not seconds or (only.devices is not None and device_id not in only.devices):
            return None
        return DeviceSeries(self.by_location(None, mine), min(seconds), max(seconds))


def is_in(only: Filter, device_id: str, location: str) -> bool:
    return (only.devices is None or device_id in only.devices) and (
        only.locations is None or location in only.locations
    )


def added(parts: list[Sum]) -> Sum:
    return Sum(total(each.total for each in parts), sum(each.readings for each in parts))


class MemorySource:
    """The SeriesSource of a MemorySeries; counts the snapshots that are open."""

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
    def snapshot(self) -> Iterator[Series]:
        self.open += 1
        try:
            yield self.series
        finally:
            self.open -= 1
