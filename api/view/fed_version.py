"""The views of a version that another process follows."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any, Generic, TypeVar, cast

from api.view.copied_view import CopiedView
from api.view.copy.errors import CopyError
from api.view.copy.kept_copy import KeptCopy
from api.view.copy.shared_copy import SharedCopy
from api.view.feed.picture import VersionPicture, ViewPicture
from api.view.followed_view import ViewState
from api.view.series import Series
from api.view.series_view import SeriesView
from api.view.totals import Totals
from api.view.totals_view import TotalsView
from api.view.version_views import VersionViews
from contract.freshness import Ages
from contract.view_versions import ViewVersion
from kafka_io.threads import in_thread

log = logging.getLogger("api.view.fed_view")

AView = TypeVar("AView", bound=CopiedView[Any])


class FedVersion(VersionViews):
    """The totals and the series of a version, as they are told."""

    _totals: _Fed[TotalsView]
    _series: _Fed[SeriesView] | None

    def __init__(
        self, version: ViewVersion, totals: KeptCopy[Totals], series: KeptCopy[Series] | None
    ) -> None:
        """Begin with nothing shown; `take` says how the views stand."""
        super().__init__(version)
        numbers = version.view_version, version.partitions
        self._totals = _Fed(partial(TotalsView, *numbers, copy=totals), totals)
        self._series = None
        if series is not None:
            self._series = _Fed(partial(SeriesView, *numbers, copy=series), series)

    async def take(self, told: VersionPicture, keys: list[bytes]) -> None:
        """Take in how the views stand, and the keys of the totals that have changed."""
        await self._totals.prepare(told.totals)
        if self._series is not None and told.series is not None:
            await self._series.prepare(told.series)
            self._series.take(told.series)
        if self.totals.changed is not None and keys:
            self.totals.changed.note(keys)
        self._totals.take(told.totals)

    def lose(self, why: str) -> None:
        """Serve nothing: nobody tells how they stand."""
        self.totals.become(ViewState.CATCHING_UP, why)
        if self.series is not None:
            self.series.become(ViewState.CATCHING_UP, why)


class _Fed(Generic[AView]):
    """A view that is started over whenever its follower starts it over."""

    def __init__(self, new_view: Any, copy: KeptCopy[Any]) -> None:
        self._new_view = new_view
        self._copy = cast(SharedCopy[Any], copy)
        self._life: int | None = None
        self._problem: str | None = None
        self.view: AView = new_view()

    async def prepare(self, told: ViewPicture) -> None:
        """Open the copy, if it is whole now; what goes wrong is the view's problem."""
        is_new = self._life not in (None, told.life)
        if told.state is ViewState.RUNNING and (is_new or self.view.state is not ViewState.RUNNING):
            self._problem = None
            try:
                await in_thread(self._copy.open_what_is_there)
            except (CopyError, OSError) as error:
                self._problem = str(error)
                log.warning("%s", error)

    def take(self, told: ViewPicture) -> None:
        """Take in how it stands; nothing awaits."""
        if self._life not in (None, told.life):
            self.view.retire()
            self.view = self._new_view()
        view, self._life = self.view, told.life
        if len(told.partitions) > len(view.partitions):
            view.extend(len(told.partitions))
        view.transactions, view.rows_written = told.transactions, told.rows_written
        state, problem = told.state, told.problem
        if state is ViewState.RUNNING and self._problem is not None:
            state, problem = ViewState.CATCHING_UP, self._problem
        if state is not ViewState.RUNNING and (view.state, view.problem) != (state, problem):
            view.become(state, problem)
        for partition, said in zip(view.partitions, told.partitions, strict=True):
            partition.birth = said.birth
            if said.marker != partition.marker:
                partition.pass_marker(said.marker)
            # As all processes tell them, not since this one has looked.
            partition.ages = None if said.ages is None else Ages.of(*said.ages)
        # Last: whoever is shown it is shown its offsets.
        if state is ViewState.RUNNING is not view.state:
            view.become(state)
