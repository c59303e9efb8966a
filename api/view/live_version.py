"""Which view is served: the one `energy_views` names as live.

Reads `energy_views`, from its start and then forever. When the pointer names another version,
that one is loaded beside the one served, and takes its place as serving.py says. The version
before stays loaded until it is dropped, so that going back takes one step too. Copies of dropped
versions are removed from disk.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from aiokafka.errors import KafkaError

from api.view.books import Books
from api.view.copy.copies import Copies
from api.view.followed_version import FollowedVersion
from api.view.followed_view import ViewState
from api.view.serving import Serving
from contract.errors import CorruptRecord, text_of
from contract.topics import VIEWS
from contract.view_versions import Views, ViewVersion
from kafka_io.batches.reader import ChunkReader

log = logging.getLogger("api.view.live_version")

BACK_OFF_SECONDS = 1.0
LOOK_SECONDS = 0.05


class LiveView(Serving):
    """Serves one view version and prepares the next."""

    def __init__(self, connection: Mapping[str, Any], copies: Copies) -> None:
        """Store the arguments; `run` reads."""
        super().__init__()
        self.books: Books = Books(self)
        #: Called after each change of what is served, or of what it shows; set before `run`.
        self.on_change: Callable[[], None] = lambda: None
        self._connection = connection
        self._copies = copies
        self._followed: dict[int, FollowedVersion] = {}
        self._views = Views()
        self._ending: set[asyncio.Task[None]] = set()
        self._keeping: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Follow the pointer until cancelled; then all that it started ends too."""
        try:
            while True:
                try:
                    await self._follow_pointer()
                except (KafkaError, CorruptRecord, OSError, TimeoutError) as error:
                    self.problem = f"energy_views: {text_of(error)}"
                    log.warning("%s; reading it again", self.problem)
                await asyncio.sleep(BACK_OFF_SECONDS)
        finally:
            beside = [task for task in (self._switching, self._keeping) if task is not None]
            for task in beside:
                task.cancel()
            ends = [each.stop() for each in self._followed.values()]
            await asyncio.gather(*beside, *ends, return_exceptions=True)

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
        if self._serving not in (None, following):
            log.info("view version %d is live now", version.view_version)
        self._views = views
        self.serve(following)
        self._keep(views)
        self.on_change()

    def _follow(self, version: ViewVersion) -> FollowedVersion:
        """Return what is followed of a version, from now on loaded or being loaded."""
        number = version.view_version
        if number not in self._followed:
            self._followed[number] = FollowedVersion(
                self._connection, version, self._copies, on_change=self.on_change
            )
        return self._followed[number]

    async def forget_dead_readers(self) -> None:
        """Free what processes held that read the copies and were killed."""
        for followed in [*self._followed.values()]:
            await followed.forget_dead_readers()

    def has_switched(self) -> None:
        """Forget what was followed for the sake of the version served before."""
        self._keep(self._views)
        self.on_change()

    def _keep(self, views: Views) -> None:
        """Follow the versions there is a way back to, forget those that are dropped."""
        if self._keeping is not None:
            self._keeping.cancel()
        wanted = {views.live, *(version.view_version for version in views.in_state("previous"))}
        for number in self._followed.keys() - wanted:
            if self._followed[number] is not self._serving:
                dropped = self._followed.pop(number)
                dropped.retire()
                self._ending.add(asyncio.create_task(dropped.stop()))
        self._keeping = asyncio.create_task(self._load_kept(views))

    async def _load_kept(self, views: Views) -> None:
        """Load them after the live one, which readers wait for; then remove what is left over."""
        while (view := self.view) is None or view.state is not ViewState.RUNNING:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_SECONDS)
        for version in views.in_state("previous"):
            self._follow(version)
        if self._ending:
            # Waited for, not gathered: whoever cancels this does not cancel them.
            self._ending -= (await asyncio.wait(self._ending))[0]
        await self._copies.keep_only(self._followed.keys())
