"""Whether the books balance: totals and series of the version served agree to the last digit.

Both are compared at equal applied offsets, which are usual when little comes in and a moment's
luck otherwise. The readings that both count in a partition, by their markers, are compared
whenever they stand at the same offset there; the exact sum and the number of readings over all
devices, and over all places and times, now and then when all partitions do.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator

from api.errors import Unavailable
from api.view.followed_view import ViewState
from api.view.series import Filter, Sum
from api.view.series_copy.snapshot import SeriesSnapshot
from api.view.series_view import SeriesView
from api.view.serving import Serving
from api.view.stored_total import parts_of
from api.view.totals_copy.snapshot import TotalsSnapshot
from api.view.totals_view import TotalsView
from contract.decimals import Number, canonical, sum_exactly
from contract.device_totals import decode_total
from kafka_io.threads import in_thread

log = logging.getLogger("api.view.books")

LOOK_SECONDS = 0.1
#: Between two comparisons of sums; longer where one costs much: a hundred times what it took.
COMPARE_SECONDS = 60.0
COST_FACTOR = 100.0


class Books:
    """The last comparison of the sums, and of what the markers count."""

    def __init__(self, live: Serving, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Store the arguments; `run` compares."""
        self._live = live
        self._clock = clock
        self._compared_of: SeriesView | None = None
        self._compared_at = 0.0
        self._cost_seconds = 0.0
        self._sums_agree: bool | None = None
        self._counts_agree = True

    @property
    def balance(self) -> bool | None:
        """Whether they do; None: the sums of the series served were not compared yet."""
        if self._sums_agree is None or self._compared_of is not self._live.series_view:
            return None
        return self._sums_agree and self._counts_agree

    def compared_seconds_ago(self) -> float:
        """Return the age of the last comparison of sums."""
        return self._clock() - self._compared_at

    async def run(self) -> None:
        """Compare until cancelled."""
        while True:
            view, series = self._live.view, self._live.series_view
            if view is not None and series is not None:
                try:
                    await self.look(view, series)
                except Exception:
                    # Nobody foresaw it: whoever reads the same will be told. What is known stays.
                    log.exception("totals and series cannot be compared; the next attempt follows")
                    await asyncio.sleep(COMPARE_SECONDS)
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self, view: TotalsView, series: SeriesView) -> None:
        """Compare what stands at equal offsets now."""
        if not view.state is series.state is ViewState.RUNNING:
            return
        if self._compared_of is not series:
            self._compared_of, self._sums_agree, self._counts_agree = series, None, True
        self._compare_counts(view, series)
        rest = max(COMPARE_SECONDS, COST_FACTOR * self._cost_seconds)
        is_due = self._sums_agree is None or self.compared_seconds_ago() > rest
        if is_due and view.applied_offsets() == series.applied_offsets():
            await self._compare_sums(view, series)

    def _compare_counts(self, view: TotalsView, series: SeriesView) -> None:
        is_first = self._counts_agree
        self._counts_agree = True
        for number, (one, other) in enumerate(
            zip(view.partitions, series.partitions, strict=False)
        ):
            a, b = one.marker, other.marker
            if a.applied_offset == b.applied_offset and a.counted != b.counted:
                self._counts_agree = False
                if is_first:
                    log.error(
                        "the books do not balance: partition %d at offset %d: totals count %d"
                        " readings, the series %d",
                        *(number, a.applied_offset, a.counted, b.counted),
                    )

    async def _compare_sums(self, view: TotalsView, series: SeriesView) -> None:
        began, offsets = self._clock(), view.applied_offsets()
        try:
            sums = await in_thread(lambda: _sums(view, series, offsets))
        except Unavailable:
            return
        if sums is None:
            return
        of_totals, of_series = sums
        self._compared_at = self._clock()
        self._cost_seconds = self._compared_at - began
        self._sums_agree = of_totals == of_series
        if not self._sums_agree:
            log.error(
                "the books do not balance at offsets %s: the sum of totals is %s of %d readings,"
                " that of the series %s of %d",
                offsets,
                *(canonical(of_totals.total), of_totals.readings),
                *(canonical(of_series.total), of_series.readings),
            )


def _sums(view: TotalsView, series: SeriesView, offsets: list[int]) -> tuple[Sum, Sum] | None:
    """Add up all devices and all places; None where a view is not at these offsets any more."""
    with view.snapshot() as totals, series.snapshot() as sums:
        if not totals.applied_offsets == sums.applied_offsets == offsets:
            return None
        return _sum_of_totals(totals), _sum_of_series(sums)


def _sum_of_series(series: SeriesSnapshot) -> Sum:
    places = series.by_location(None, Filter())
    total = sum_exactly(place.total for place in places)
    return Sum(total, sum(place.readings for place in places))


def _sum_of_totals(totals: TotalsSnapshot) -> Sum:
    readings = 0

    def numbers() -> Iterator[Number]:
        nonlocal readings
        for _, stored in totals.by_device():
            for part in parts_of(stored):
                number, count = decode_total(part)
                readings += count
                yield number

    return Sum(sum_exactly(numbers()), readings)
