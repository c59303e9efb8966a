"""Sends reading processes how the views stand: after each change, and once a second.

A reader that does not take what it is sent is cut off: it comes again for the whole picture.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import cast

from api.view.changed_keys import ChangedKeys
from api.view.feed.picture import BooksPicture, Picture, frame_of, version_picture
from api.view.followed_view import ViewState
from api.view.serving import Serving
from api.view.totals_view import TotalsView

BEAT_SECONDS = 1.0
#: So much may wait for a reader.
WAITING_BYTES = 64 * 1024 * 1024


class FeedSender:
    """The sending end of the feed, in the process that follows the changelogs."""

    def __init__(self, live: Serving, *, on_lost: Callable[[], None] = lambda: None) -> None:
        """Store the arguments; `on_lost` is called when a reader is gone."""
        self._live = live
        self._on_lost = on_lost
        self._readers: set[_Reader] = set()
        self._noted: TotalsView | None = None
        self._is_due = False

    def changed(self) -> None:
        """Send it to all, once whatever runs now has made its change whole."""
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._send)

    async def run(self, listener: socket.socket) -> None:
        """Take readers in, and send to them, until cancelled."""
        server = await asyncio.get_running_loop().create_unix_server(
            lambda: _Reader(self), sock=listener
        )
        try:
            while True:
                await asyncio.sleep(BEAT_SECONDS)
                self._send()
        finally:
            server.close()
            for reader in [*self._readers]:
                reader.transport.abort()

    def _send(self) -> None:
        self._is_due = False
        if not self._readers:
            # A reader that connects starts over anyway.
            self._note_no_more()
            return
        frame = frame_of(self._picture())
        for reader in [*self._readers]:
            if reader.transport.get_write_buffer_size() > WAITING_BYTES:
                reader.transport.abort()
            else:
                reader.transport.write(frame)

    def _picture(self) -> Picture:
        live = self._live
        served = live.served
        books = BooksPicture(live.books.balance, live.books.compared_seconds_ago())
        return Picture(
            live.problem,
            None if served is None else version_picture(served),
            books,
            self._changed_keys(),
        )

    def _changed_keys(self) -> list[bytes]:
        """Return what changed in the totals served since the last picture."""
        view = self._live.view
        if view is None or view.state is not ViewState.RUNNING:
            self._note_no_more()
            return []
        if view is not self._noted or view.changed is None:
            # Readers start over with another view, so nothing before now matters.
            self._note_no_more()
            self._noted, view.changed = view, ChangedKeys()
        return [key for keys in view.changed.take() for key in keys]

    def _note_no_more(self) -> None:
        if self._noted is not None:
            self._noted.changed = None
            self._noted = None

    def came(self, reader: _Reader) -> None:
        """Take a reader in, and send at once."""
        self._readers.add(reader)
        self._send()

    def went(self, reader: _Reader) -> None:
        """Forget a reader."""
        self._readers.discard(reader)
        self._on_lost()


class _Reader(asyncio.Protocol):
    """A reading process."""

    transport: asyncio.Transport

    def __init__(self, sender: FeedSender) -> None:
        self._sender = sender

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet it with the picture as it is."""
        self.transport = cast(asyncio.Transport, transport)
        # Never paused: what waits is bounded where it is written.
        self.transport.set_write_buffer_limits(high=2 * WAITING_BYTES)
        self._sender.came(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._sender.went(self)
