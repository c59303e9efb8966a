"""Which view is served: the one `energy_views` names as live.

Reads `energy_views`, from its start and then for ever. When the pointer names another version,
that one is loaded beside the one served, and takes its place in one step once it has reached
the offsets served last; until then nothing changes for a reader. The version before stays
loaded until it is dropped, so that going back takes one step too.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from aiokafka.errors import KafkaError

from api.errors import ViewNotRunning
from api.view.changelog_follower import Follower
from api.view.followed_view import ViewState
from api.view.version_view import ViewVersionView
from contract.errors import CorruptRecord
from contract.topics import VIEWS
from contract.view_versions import Views, ViewVersion
from kafka_io.batches.reader import ChunkReader

log = logging.getLogger("api.view.live_version")

BACK_OFF_SECONDS = 1.0
#: How often the next view is compared with the one served.
SWITCH_SECONDS = 0.05


class LiveView:
    """Serves one view version and prepares the next."""

    def __init__(self, connection: Mapping[str, Any]) -> None:
        """Only keep the arguments; `run` reads."""
        self._connection = connection
        self._serving: Follower[ViewVersionView] | None = None
        #: What a reader was shown last; its offsets stay when its follower begins anew.
        self._shown: ViewVersionView | None = None
        self._followers: dict[int, Follower[ViewVersionView]] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._switching: asyncio.Task[None] | None = None
        self._keeping: asyncio.Task[None] | None = None
        self.problem: str | None = None
        self.switches = 0

    @property
    def view(self) -> ViewVersionView | None:
        """The view served, whatever its state; None before the pointer was read."""
        return self._serving.view if self._serving else None

    def running(self) -> ViewVersionView:
        """Return the view for a read. Raises: ViewNotRunning."""
        view = self.view
        if view is None or view.state is not ViewState.RUNNING:
            raise ViewNotRunning("the totals are being loaded; try again in a second")
        self._shown = view
        return view

    async def reached(self, offsets: Mapping[int, int]) -> None:
        """Return once reads show everything up to these offsets, over any switch of views."""
        while True:
            view = self.view
            if view is not None and view.state is ViewState.RUNNING and await view.reached(offsets):
                return
            await asyncio.sleep(SWITCH_SECONDS)

    async def run(self) -> None:
        """Follow the pointer until cancelled; then all that it started ends too."""
        try:
            while True:
                try:
                    await self._follow_pointer()
                except (KafkaError, CorruptRecord, OSError, TimeoutError) as error:
                    self.problem = f"energy_views: {error or type(error).__name__}"
                    log.warning("%s; reading it again", self.problem)
                await asyncio.sleep(BACK_OFF_SECONDS)
        finally:
            beside = [task for task in (self._switching, self._keeping) if task is not None]
            tasks = [*self._tasks.values(), *beside]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow_pointer(self) -> None:
        views = Views()
        async with ChunkReader(
            self._connection, VIEWS.name, client_id="energy-api-pointer"
        ) as reader:
            partitions = await reader.partitions()
            if not partitions:
                self.problem = f"there is no topic {VIEWS.name}"
                return
            ends = await reader.end_offsets(partitions)
            reader.assign(await reader.beginning_offsets(partitions))
            async for chunk in reader.read_until(ends):
                for record in chunk.records:
                    views.apply(record.key, record.value)
            self._turn_to(views)
            while True:
                for chunk in await reader.chunks(1.0):
                    for record in chunk.records:
                        views.apply(record.key, record.value)
                    self._turn_to(views)

    def _turn_to(self, views: Views) -> None:
        """Serve, or prepare to serve, what the pointer names now."""
        version = None if views.live is None else views.versions.get(views.live)
        if version is None:
            self.problem = "no view version is live yet"
            return
        self.problem = None
        following = self._follow(version)
        if self._switching is not None:
            self._switching.cancel()
            self._switching = None
        if self._serving is None:
            self._serving = following
        elif self._serving is not following:
            log.info("view version %d is live now", version.view_version)
            self._switching = asyncio.create_task(self._switch(following, views))
        self._keep(views)

    def _follow(self, version: ViewVersion) -> Follower[ViewVersionView]:
        """Return the follower of a version, from now on loaded or being loaded."""
        number = version.view_version
        if number not in self._followers:
            self._followers[number] = follower = Follower(
                ViewVersionView, self._connection, version
            )
            self._tasks[number] = asyncio.create_task(follower.run())
        return self._followers[number]

    def _keep(self, views: Views) -> None:
        """Follow the versions there is a way back to, forget those that are dropped."""
        if self._keeping is not None:
            self._keeping.cancel()
        self._keeping = asyncio.create_task(self._load_kept(views))
        wanted = {views.live, *(version.view_version for version in views.in_state("previous"))}
        for number in self._followers.keys() - wanted:
            follower = self._followers[number]
            if follower is not self._serving:
                self._tasks.pop(number).cancel()
                del self._followers[number]
                follower.view.retire()

    async def _load_kept(self, views: Views) -> None:
        """Load them after the live one, which readers wait for."""
        while (view := self.view) is None or view.state is not ViewState.RUNNING:  # noqa: ASYNC110
            await asyncio.sleep(SWITCH_SECONDS)
        for version in views.in_state("previous"):
            self._follow(version)

    async def _switch(self, following: Follower[ViewVersionView], views: Views) -> None:
        """Wait until the next view shows no less than readers were shown, then serve it."""
        assert self._serving is not None
        while not _may_follow(following.view, self._serving.view, self._shown):  # noqa: ASYNC110
            await asyncio.sleep(SWITCH_SECONDS)
        former = self._serving
        self._serving = following
        self.switches += 1
        log.info("view version %d is served now", following.view.view_version)
        # Who waits for offsets waits on the view that is served.
        former.view.retire()
        self._keep(views)


def _may_follow(
    following: ViewVersionView, served: ViewVersionView, shown: ViewVersionView | None
) -> bool:
    if following.state is not ViewState.RUNNING:
        return False
    least = served if served.state is ViewState.RUNNING else shown
    if least is None:
        return True
    ahead, offsets = following.applied_offsets(), least.applied_offsets()
    return len(ahead) >= len(offsets) and all(
        new >= old for new, old in zip(ahead, offsets, strict=False)
    )
