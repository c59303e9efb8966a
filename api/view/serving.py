"""Which version's views readers are shown.

Another one takes the place of the one served in one step, once it shows no less than readers were
shown last; until then nothing changes for a reader.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Protocol

from api.errors import NoSeries, ViewNotRunning
from api.view.followed_view import ViewState
from api.view.series_view import SeriesView
from api.view.totals_view import TotalsView
from api.view.version_views import VersionViews, may_follow

log = logging.getLogger("api.view.serving")

#: How often the next view is compared with the one served.
SWITCH_SECONDS = 0.05


class Balance(Protocol):
    """Whether totals and series agree."""

    @property
    def balance(self) -> bool | None:
        """Whether they do; None: the sums of the series served were not compared yet."""

    def compared_seconds_ago(self) -> float:
        """Return the age of the last comparison of sums."""


class Serving(ABC):
    """The views that are served; whoever feeds them calls `serve` and sets `problem`."""

    #: Whether totals and series agree.
    books: Balance

    def __init__(self) -> None:
        self._serving: VersionViews | None = None
        #: What a reader was shown last; its offsets stay when its follower starts over.
        self._shown: TotalsView | None = None
        self._shown_series: SeriesView | None = None
        self._switching: asyncio.Task[None] | None = None
        self.problem: str | None = None

    @property
    def served(self) -> VersionViews | None:
        """The views served, whatever their state; None before a version is known."""
        return self._serving

    @property
    def view(self) -> TotalsView | None:
        """The totals served, whatever their state; None before a version is known."""
        return self._serving.totals if self._serving else None

    @property
    def series_view(self) -> SeriesView | None:
        """The series of the version served, whatever its state; None where it has none."""
        return self._serving.series if self._serving else None

    def running(self) -> TotalsView:
        """Return the view for a read. Raises: ViewNotRunning."""
        view = self.view
        if view is None or view.state is not ViewState.RUNNING:
            raise ViewNotRunning("the totals are being loaded; try again in a second")
        self._shown = view
        return view

    def series(self) -> SeriesView:
        """Return the series for a read. Raises: ViewNotRunning, NoSeries."""
        series = self.series_view
        if series is None:
            raise NoSeries(self.running().view_version)
        if series.state is not ViewState.RUNNING:
            raise ViewNotRunning("the series is being loaded; try again in a second")
        self._shown_series = series
        return series

    def series_if_running(self) -> SeriesView | None:
        """Return the series for a read, None where there is none, or none yet."""
        try:
            return self.series()
        except (NoSeries, ViewNotRunning):
            return None

    def applied_offsets(self) -> dict[str, dict[int, int]]:
        """Return how far totals and series are that are served, by partition."""
        served = {"totals": self.view, "series": self.series_view}
        return {
            name: dict(enumerate(view.applied_offsets()))
            for name, view in served.items()
            if view is not None and view.state is ViewState.RUNNING
        }

    async def reached(self, offsets: Mapping[int, int], *, with_series: bool = False) -> None:
        """Return once reads show everything up to these offsets, over any switch of views.

        `with_series`: reads of the series too, where there is one.
        """
        while True:
            views = [self.view, *filter(None, [self.series_view if with_series else None])]
            for view in views:
                if view is None or view.state is not ViewState.RUNNING:
                    break
                if not await view.reached(offsets):
                    break
            else:
                return
            await asyncio.sleep(SWITCH_SECONDS)

    @abstractmethod
    async def run(self) -> None:
        """Feed the views until cancelled."""

    def serve(self, following: VersionViews) -> None:
        """Serve these views: the first ones at once, others when they show no less."""
        if self._switching is not None:
            self._switching.cancel()
            self._switching = None
        if self._serving is None:
            self._serving = following
        elif self._serving is not following:
            self._switching = asyncio.create_task(self._switch(self._serving, following))

    @abstractmethod
    def has_switched(self) -> None:
        """Take in that another version is served: for who follows them."""

    async def _switch(self, served: VersionViews, following: VersionViews) -> None:
        while not may_follow(  # noqa: ASYNC110 - nobody tells
            following.totals, served.totals, self._shown
        ) or not following.series_may_follow(served.series, self._shown_series):
            await asyncio.sleep(SWITCH_SECONDS)
        self._serving = following
        log.info("view version %d is served now", following.totals.view_version)
        # Requests that wait for offsets wait on the version that is served.
        served.retire()
        self.has_switched()
