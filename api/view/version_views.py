"""The views of one version as readers have them: its totals and, where it has one, its series."""

from __future__ import annotations

import time
from typing import Protocol, TypeVar

from api.view.followed_view import FollowedView, ViewState
from api.view.series_view import SeriesView
from api.view.totals_view import TotalsView
from contract.view_versions import ViewVersion

#: A series that is being loaded and has not progressed for so long is waited for no longer.
PATIENCE_SECONDS = 60.0

AView_co = TypeVar("AView_co", bound=FollowedView, covariant=True)


class Holder(Protocol[AView_co]):
    """Has a view as it is now: whoever feeds it may replace it."""

    @property
    def view(self) -> AView_co: ...  # noqa: D102


class VersionViews:
    """The views of a version, whoever feeds them."""

    _totals: Holder[TotalsView]
    _series: Holder[SeriesView] | None

    def __init__(self, version: ViewVersion) -> None:
        """Begin with a series that has not progressed yet."""
        self.version = version
        #: How far the series was when it progressed last, and when that was.
        self._came_on = (0, time.monotonic())

    @property
    def totals(self) -> TotalsView:
        """The totals, whatever their state."""
        return self._totals.view

    @property
    def series(self) -> SeriesView | None:
        """The series, whatever its state; None: the version has none."""
        return None if self._series is None else self._series.view

    def retire(self) -> None:
        """Answer all who wait for offsets: this version will not reach them."""
        self.totals.retire()
        if self.series is not None:
            self.series.retire()

    def series_may_follow(self, served: SeriesView | None, shown: SeriesView | None) -> bool:
        """Whether this version may be served as far as its series goes.

        It may when it shows no less than readers were shown; where there is a problem with it,
        or it does not progress, totals do not wait for it: it is 503 until it is loaded.
        """
        series = self.series
        if series is None or served is None:
            return True
        was_shown = served.state is ViewState.RUNNING or shown is not None
        if not was_shown or may_follow(series, served, shown):
            return True
        now = time.monotonic()
        if series.transactions != self._came_on[0]:
            self._came_on = series.transactions, now
        return series.problem is not None or now - self._came_on[1] > PATIENCE_SECONDS


def may_follow(following: FollowedView, served: FollowedView, shown: FollowedView | None) -> bool:
    """Whether a view shows no less than readers were shown of the one that is served."""
    if following.state is not ViewState.RUNNING:
        return False
    least = served if served.state is ViewState.RUNNING else shown
    if least is None:
        return True
    # What is told of it is no more than what it shows: a stream never goes back either.
    ahead, offsets = following.applied_offsets(), least.shown_offsets()
    return len(ahead) >= len(offsets) and all(
        new >= old for new, old in zip(ahead, offsets, strict=False)
    )
