"""One open stream: what is sent next, and up to which offsets its reader has all."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Protocol

from api.auth.token_store import Token
from api.errors import Unavailable
from api.query.streams import events
from api.query.streams.made import Made
from api.query.streams.position import Position, position_of
from api.query.streams.watches import Source, Watch
from api.view.totals_view import TotalsView

#: Rows of an event: from FIRST on twice as many each time a reader takes them at once, half as
#: many each time it does not.
FEWEST, FIRST, MOST = 100, 250, 2_000
#: At once: before the next tick.
AT_ONCE_SECONDS = 0.1


class HubState(Source, Protocol):
    """What a feed asks of its hub."""

    #: None while none is served.
    view: TotalsView | None
    position: Position
    made: Made
    #: Who is woken at the next tick.
    due: set[Feed]

    def counted(self, event: str, coalesced: int = 0) -> None:
        """Count an event, and changes that it makes up for."""

    async def turn(self) -> None:
        """Wait: of all long work one slice is done in a turn of the event loop."""

    def leave(self, feed: Feed) -> None:
        """Tell it nothing any more."""


class Feed:
    """The events of one stream; the hub wakes it, the answer asks for them."""

    __slots__ = (
        "_ahead",
        "_connection",
        "_farewell",
        "_greeting",
        "_hub",
        "_is_partial",
        "_keys",
        "_most",
        "_owes_snapshot",
        "_position",
        "_waiting",
        "is_over",
        "owes_progress",
        "token",
        "told_at",
        "watch",
    )

    def __init__(
        self,
        hub: HubState,
        token: Token,
        watch: Watch,
        *,
        greeting: bytes,
    ) -> None:
        self.token = token
        self.watch = watch
        #: In which tick it was woken last.
        self.told_at = 0
        self.owes_progress = False
        self.is_over = False
        self._hub = hub
        #: Up to where its reader has all; None before the first snapshot.
        self._position: Position | None = None
        self._owes_snapshot = True
        self._is_partial = False
        #: Of a snapshot that has begun: what is to come, and the keys of it that come next.
        self._keys: Iterator[list[bytes]] | None = None
        self._ahead: list[bytes] = []
        self._most = FIRST
        self._waiting: asyncio.Future[None] | None = None
        self._connection: asyncio.WriteTransport | None = None
        self._greeting = greeting
        self._farewell = b""

    def resume(self, last_event_id: bytes | None) -> None:
        """Begin without a snapshot, if its reader has all that is visible now.

        Raises: Unavailable.
        """
        view = self._hub.view
        if view is None:
            return
        position = position_of(view)
        if position.event_id == last_event_id:
            self.watch.begin(self._hub)
            with view.snapshot() as totals:
                # A commit may be visible that nobody was told of yet.
                is_newest = totals.applied_offsets == position.applied_offsets
            if is_newest:
                self._position, self._owes_snapshot = position, False

    # For the hub

    def wake(self) -> bool:
        """Let it look what there is; False while its reader has not taken the last events."""
        if self._waiting is None:
            return False
        if not self._waiting.done():
            self._waiting.set_result(None)
        return True

    def restart(self) -> None:
        """Send a snapshot again, because another view is served.

        A reader that has a part of one would take the other for its rest: it has to come again.
        """
        if self._is_partial:
            self.end()
        self._owes_snapshot, self._keys, self._position = True, None, None

    def end(self, farewell: bytes = b"") -> None:
        """End it, with these events; told again, at once: its reader does not read."""
        if self.is_over and self._connection is not None:
            self._connection.abort()
        self.is_over, self._farewell = True, farewell
        self.wake()

    # For the answer

    def opened(self, connection: asyncio.WriteTransport) -> None:
        """Keep its connection."""
        self._connection = connection

    def took(self, seconds: float) -> None:
        """Send more at a time to a reader that keeps up, and less to a slow one."""
        if seconds < AT_ONCE_SECONDS:
            self._most = min(MOST, 2 * self._most)
        else:
            self._most = max(FEWEST, self._most // 2)

    def close(self) -> None:
        """Release it."""
        self._hub.leave(self)

    async def next(self) -> bytes:
        """Return the next events, nothing at the end."""
        while not self.is_over:
            try:
                told = await self._told()
            except Unavailable:
                # The view is being loaded: all of it is sent when it runs again.
                self.restart()
                told = b""
                if not self.is_over:
                    await self._tick()
            if told:
                greeting, self._greeting = self._greeting, b""
                return greeting + told
        farewell, self._farewell = self._farewell, b""
        return farewell

    async def _told(self) -> bytes:
        if self._owes_snapshot and self._hub.view is not None:
            return await self._snapshot(self._hub.view)
        await self._tick()
        return b"" if self.is_over else self._change() + self._progress()

    async def _tick(self) -> None:
        self._waiting = asyncio.get_running_loop().create_future()
        try:
            await self._waiting
        finally:
            self._waiting = None

    async def _snapshot(self, view: TotalsView) -> bytes:
        """Return the next part of it; nothing if it has to start over."""
        if self._keys is None:
            # Before anything is looked at: all rows are at least so new.
            position = position_of(view)
            self.watch.begin(self._hub)
            self._position, self._keys, self._ahead = position, self.watch.keys_of(view), []
        # One more than is sent now tells whether there is more.
        while len(self._ahead) <= self._most and (some := next(self._keys, None)) is not None:
            self._ahead += some
        if len(self._ahead) > FEWEST:
            await self._hub.turn()
        if self._hub.view is not view or self._keys is None:
            self.restart()
            return b""
        keys, self._ahead = self._ahead[: self._most], self._ahead[self._most :]
        rows = events.encode_rows(view, keys).values()
        is_last = not self._ahead
        self._is_partial = not is_last
        if is_last:
            self._owes_snapshot, self._keys = False, None
        self._hub.counted("snapshot")
        event_id = self._position.event_id if is_last and self._position is not None else None
        return events.snapshot(rows, more=not is_last, event_id=event_id)

    def _change(self) -> bytes:
        """Return what changed, nothing if nothing did."""
        hub, watch = self._hub, self.watch
        if hub.view is None:
            return b""
        change = None
        if watch.has_more(hub):
            change = watch.changed(hub, self._most)
        has_more = watch.has_more(hub)
        if has_more:
            hub.due.add(self)
        elif self._position is None or not hub.position.is_behind(self._position):
            self._position = hub.position
        if change is None or not (change.keys or change.left):
            return b""
        hub.counted("change", watch.coalesced)
        watch.coalesced = 0
        return hub.made.change(change, None if has_more else self._position)

    def _progress(self) -> bytes:
        if not self.owes_progress or self._position is None:
            return b""
        self.owes_progress = False
        self._hub.counted("progress")
        return self._hub.made.progress(self._position)
