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
from api.view.series_copy.snapshot import SeriesSnapshot
from api.view.series_view import SeriesView
from api.view.totals_copy.snapshot import TotalsSnapshot
from api.view.totals_view import TotalsView
from api.view.version_views import VersionViews
from contract.freshness import Ages
from contract.view_versions import ViewVersion
from kafka_io.threads import in_thread

log = logging.getLogger("api.view.fed_view")

AView = TypeVar("AView", bound=CopiedView[Any])


class FedVersion(VersionViews):
    """The totals and the series of a version, as they are fed."""

    _totals: _Fed[TotalsView]
    _series: _Fed[SeriesView] | None

    def __init__(
        self,
        version: ViewVersion,
        totals: KeptCopy[TotalsSnapshot],
        series: KeptCopy[SeriesSnapshot] | None,
    ) -> None:
        """Begin with nothing shown; `take` says how the views stand."""
        super().__init__(version)
        numbers = version.view_version, version.partitions
        self._totals = _Fed(partial(TotalsView, *numbers, copy=totals), totals)
        self._series = None
        if series is not None:
            self._series = _Fed(partial(SeriesView, *numbers, copy=series), series)

    async def take(self, picture: VersionPicture, keys: list[bytes]) -> None:
        """Take in how the views stand, and the keys of the totals that have changed."""
        await self._totals.prepare(picture.totals)
        if self._series is not None and picture.series is not None:
            await self._series.prepare(picture.series)
            self._series.take(picture.series)
        if self.totals.changed is not None and keys:
            self.totals.changed.note(keys)
        self._totals.take(picture.totals)

    def lose(self, why: str) -> None:
        """Serve nothing: nobody says how they stand."""
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

    async def prepare(self, new: ViewPicture) -> None:
        """Open the copy, if it is whole now; what goes wrong is the view's problem."""
        is_new = self._life not in (None, new.life)
        if new.state is ViewState.RUNNING and (is_new or self.view.state is not ViewState.RUNNING):
            self._problem = None
            try:
                await in_thread(self._copy.open_what_is_there)
            except (CopyError, OSError) as error:
                self._problem = str(error)
                log.warning("%s", error)

    def take(self, new: ViewPicture) -> None:
        """Take in how it stands; nothing awaits."""
        if self._life not in (None, new.life):
            self.view.retire()
            self.view = self._new_view()
        view, self._life = self.view, new.life
        if len(new.partitions) > len(view.partitions):
            view.extend(len(new.partitions))
        view.transactions, view.rows_written = new.transactions, new.rows_written
        state, problem = new.state, new.problem
        if state is ViewState.RUNNING and self._problem is not None:
            state, problem = ViewState.CATCHING_UP, self._problem
        if state is not ViewState.RUNNING and (view.state, view.problem) != (state, problem):
            view.become(state, problem)
        for partition, shown in zip(view.partitions, new.partitions, strict=True):
            partition.birth = shown.birth
            if shown.marker != partition.marker:
                partition.pass_marker(shown.marker)
            # As all processes count them, not since this one has looked.
            partition.ages = None if shown.ages is None else Ages.of(*shown.ages)
        # Last: whoever is shown it is shown its offsets.
        if state is ViewState.RUNNING is not view.state:
            view.become(state)
