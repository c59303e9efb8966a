"""What is followed of one view version: its totals and, where it has one, its series."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from api.view.changelog_follower import Follower
from api.view.copy.copies import Copies
from api.view.copy.kept_copy import KeptCopy
from api.view.followed_view import ViewUnusable
from api.view.series_view import SeriesView
from api.view.totals_view import TotalsView
from api.view.version_views import VersionViews
from contract.view_versions import ViewVersion


class FollowedVersion(VersionViews):
    """The followers of a view version, and the tasks that run them.

    The series is followed by itself: whatever becomes of it, the totals are served.
    """

    _totals: Follower[TotalsView]
    _series: Follower[SeriesView] | None

    def __init__(
        self,
        connection: Mapping[str, Any],
        version: ViewVersion,
        copies: Copies,
        *,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """Begin to follow.

        `on_change` is called after each change of what a view shows, or of its state.
        """
        super().__init__(version)
        totals, series = copies.totals_of(version), copies.series_of(version)
        self._copies: list[KeptCopy[Any]] = [totals, *filter(None, [series])]
        new_totals = partial(TotalsView, copy=totals)
        self._totals = Follower(new_totals, connection, version, on_change=on_change)
        self._series = None
        if series is not None:
            new_series = partial(SeriesView, copy=series)
            self._series = Follower(new_series, connection, version, on_change=on_change)
        followers: list[Follower[Any]] = [self._totals, *filter(None, [self._series])]
        self._tasks = [asyncio.create_task(each.run()) for each in followers]

    async def stop(self) -> None:
        """End the tasks, then close the copies."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(copy.close() for copy in self._copies))

    async def forget_dead_readers(self) -> None:
        """Free what processes held that read the copies and were killed."""
        for copy in self._copies:
            # What is wrong with it, its next write says.
            with suppress(ViewUnusable):
                await copy.forget_dead_readers()
