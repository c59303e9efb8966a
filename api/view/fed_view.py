"""The views that another process follows: their copies are read here, how they stand is fed to us.

Without the feed nobody knows whether a copy is whole, so nothing is served until it is back. What
readers were shown binds over that: they are never shown less afterwards.
"""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path

from api.view.copy.copies import Copies
from api.view.copy.kept_copy import KeptCopy
from api.view.fed_version import FedVersion
from api.view.feed.picture import BooksPicture, Picture
from api.view.feed.receiver import FeedLost, pictures
from api.view.series_copy.snapshot import SeriesSnapshot
from api.view.serving import Serving
from api.view.totals_copy.snapshot import TotalsSnapshot
from contract.view_versions import ViewVersion

log = logging.getLogger("api.view.fed_view")

RETRY_SECONDS = 0.1
_Opened = tuple[KeptCopy[TotalsSnapshot], KeptCopy[SeriesSnapshot] | None]


class FedView(Serving):
    """Serves what a follower in another process feeds."""

    def __init__(self, address: Path, copies: Copies) -> None:
        """Store the arguments; `run` listens to the feed at that address."""
        super().__init__()
        self._address = address
        self._copies = copies
        #: By view version; each file is opened once in a process.
        self._opened: dict[int, _Opened] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._fed: FedVersion | None = None
        self.books: FedBooks = FedBooks()

    async def run(self) -> None:
        """Listen until cancelled; then the copies are released."""
        try:
            while True:
                try:
                    async for picture in pictures(self._address):
                        await self._take(picture)
                except FeedLost as error:
                    self._lose(str(error))
                await asyncio.sleep(RETRY_SECONDS)
        finally:
            if self._switching is not None:
                self._switching.cancel()
            self._let_go(set(self._opened))
            await asyncio.gather(*self._closing, return_exceptions=True)

    async def _take(self, picture: Picture) -> None:
        self.problem = picture.problem
        self.books.take(picture.books)
        served = picture.served
        if served is None:
            return
        fed = self._fed
        if fed is None or fed.version.view_version != served.version.view_version:
            self._fed = fed = FedVersion(served.version, *self._copies_of(served.version))
            self.serve(fed)
        await fed.take(served, picture.keys)

    def _lose(self, why: str) -> None:
        """Serve nothing until somebody says how the views stand now."""
        if self._fed is not None:
            log.warning("%s; nothing is read meanwhile", why)
        self._fed = None
        self.books.take(BooksPicture(None, 0.0))
        if self._switching is not None:
            self._switching.cancel()
            self._switching = None
        self.problem = why
        if isinstance(self.served, FedVersion):
            self.served.lose(why)

    def has_switched(self) -> None:
        """Release the copies of the version before."""
        assert self.served is not None
        self._let_go(self._opened.keys() - {self.served.version.view_version})

    def _copies_of(self, version: ViewVersion) -> _Opened:
        copies = self._copies
        number = version.view_version
        if number not in self._opened:
            self._opened[number] = copies.totals_of(version), copies.series_of(version)
        return self._opened[number]

    def _let_go(self, view_versions: set[int]) -> None:
        for number in view_versions:
            totals, series = self._opened.pop(number)
            closes = [totals.close()] if series is None else [totals.close(), series.close()]
            for closing in map(asyncio.create_task, closes):
                self._closing.add(closing)
                closing.add_done_callback(self._closing.discard)


class FedBooks:
    """Whether the books balance, as the follower has found."""

    def __init__(self) -> None:
        self.balance: bool | None = None
        self._compared_at = 0.0

    def take(self, picture: BooksPicture) -> None:
        """Take in what the follower has found."""
        self.balance = picture.balance
        self._compared_at = time.monotonic() - picture.compared_seconds_ago

    def compared_seconds_ago(self) -> float:
        """Return the age of the last comparison of sums."""
        return time.monotonic() - self._compared_at
