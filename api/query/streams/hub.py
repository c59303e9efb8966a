"""All open streams: one tick for all, fifty times a second, and every fifth one is a round.

    take      the keys that changed since the last tick, as the view noted them
    tell      streams of these devices, by an index; the others in a round, by one log of changes
    wake      whoever is concerned and was not told for 100 ms; each one for its progress once a
              second

A row is made once in a tick, whoever is sent it, and the change of all devices once for all
who keep up: they are told in rounds, at the same time. Nothing runs, and the view notes nothing,
while no stream is open.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from api.auth.token_store import Token, TokenStore
from api.errors import ViewNotRunning
from api.http.allowance import Budget, Slices
from api.metrics import Metrics
from api.query.streams import events
from api.query.streams.change_log import ChangeLog
from api.query.streams.feed import Feed
from api.query.streams.made import Made
from api.query.streams.position import Position, position_of
from api.query.streams.turns import TICK_SECONDS, Turns
from api.query.streams.watches import Devices, First, Watch
from api.view.changed_keys import ChangedKeys, Keys
from api.view.end_offsets import LagWatch
from api.view.serving import Serving
from api.view.totals_view import TotalsView

log = logging.getLogger("api.query.streams.hub")

#: Ticks from one look at the tokens to the next: 2 s.
TOKEN_TICKS = 100
#: Streams woken, and keys logged, in one go: 1 to 2 ms.
WOKEN, LOGGED = 50, 10_000
#: Of all streams, those of one token; the others are left to other tokens.
SHARE = 2 / 3


class Hub:
    """Opens streams and tells them what changed."""

    def __init__(
        self,
        live: Serving,
        lag: LagWatch,
        tokens: TokenStore,
        metrics: Metrics,
        streams: int,
        *,
        should_stop: Callable[[], bool],
    ) -> None:
        """Begin with none open; one token may have `streams`, all together half as many more."""
        self.view: TotalsView | None = None
        self.log = ChangeLog()
        self.head = 0
        self.due: set[Feed] = set()
        self.position = Position(0, [], b"")
        self._live = live
        self._lag = lag
        self._tokens = tokens
        self._metrics = metrics
        self._events = {name: metrics.stream_events.labels(name) for name in events.NAMES}
        self._budget = Budget(streams + max(1, streams // 2), SHARE, "streams")
        self._budget.most = streams
        self._should_stop = should_stop
        self._feeds: set[Feed] = set()
        self._readers: set[Feed] = set()
        self._watchers: dict[bytes, list[Feed]] = {}
        self._turns = Turns()
        #: Taken, and in no log yet.
        self._unlogged: list[Keys] = []
        self._ticking: asyncio.Task[None] | None = None
        self.turn = Slices().turn
        self.made = Made(None, lag, self.position, 0)

    # For the route

    async def open(self, token: Token, watch: Watch, last_event_id: bytes | None) -> Feed:
        """Open a stream, to be closed. Raises: Unavailable."""
        self._follow(self._live.running())
        self._budget.take(token.name)
        feed = Feed(self, token, watch, greeting=events.retry())
        self._feeds.add(feed)
        if isinstance(watch, Devices):
            for key in watch.keys:
                self._watchers.setdefault(key, []).append(feed)
        else:
            self._readers.add(feed)
        self._turns.add(feed, in_rounds=feed in self._readers)
        self._metrics.streams.inc()
        if self._ticking is None:
            self._ticking = asyncio.create_task(self._run())
        try:
            feed.resume(last_event_id)
        except BaseException:
            feed.close()
            raise
        return feed

    # For the feeds

    def leave(self, feed: Feed) -> None:
        """Close a stream; the last one ends the ticks."""
        if feed not in self._feeds:
            return
        self._feeds.discard(feed)
        self._readers.discard(feed)
        self.due.discard(feed)
        self._turns.discard(feed)
        if isinstance(feed.watch, Devices):
            for key in feed.watch.keys:
                watchers = self._watchers[key]
                watchers.remove(feed)
                if not watchers:
                    del self._watchers[key]
        self._budget.give_back(feed.token.name)
        self._metrics.streams.dec()
        if not self._feeds and self._ticking is not None:
            self._ticking.cancel()
            self._ticking = None
            self._follow(None)

    def first(self, asked: First, *, is_fresh: bool = False) -> tuple[bytes, ...]:
        """Return the first devices, as of this tick, or as of now where that `is_fresh`."""
        return self.made.first(asked, is_fresh=is_fresh)

    def counted(self, event: str, coalesced: int = 0) -> None:
        """Count an event, and changes that it makes up for."""
        self._events[event].inc()
        if coalesced:
            self._metrics.stream_changes_coalesced.inc(coalesced)

    # Ticks

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            try:
                await self.tick()
            except Exception:
                # Nobody foresaw it; clients that come again are better off than silent streams.
                log.exception("unexpected failure; all streams are ended")
                self._end_all()

    async def tick(self) -> None:
        """Tell all streams what changed since the last tick."""
        turns = self._turns
        turns.ticks += 1
        if self._should_stop():
            self._end_all()
            return
        if turns.ticks % TOKEN_TICKS == 0:
            self._end_revoked()
        try:
            self._follow(self._live.running())
            await self._take()
        except ViewNotRunning:
            # What it shows until it runs again is nobody's: then all are sent it again.
            self._follow(None)
            self._made_anew(self.head)
        for feed in turns.owed_progress():
            feed.owes_progress = True
            self.due.add(feed)
        woken = 0
        for feed in [*self.due]:
            if turns.is_of(feed, in_rounds=feed in self._readers) and feed.wake():
                self.due.discard(feed)
                feed.told_at = turns.ticks
                woken += 1
                if woken % WOKEN == 0:
                    await asyncio.sleep(0)

    def _follow(self, view: TotalsView | None) -> None:
        """Follow the view that is served; another one is sent again to all."""
        if view is self.view:
            return
        if self.view is not None:
            self.view.changed = None
        self.view = view
        self._unlogged = []
        self.head = self.log.end
        self.log.forget(self.head)
        if view is not None:
            view.changed = ChangedKeys()
            self.position = position_of(view)
            for feed in self._feeds:
                feed.restart()
            self.due.update(self._feeds)
        self._made_anew(self.head)

    def _made_anew(self, former_head: int) -> None:
        view = self.view or self._live.view
        self.made = Made(view, self._lag, self.position, former_head)

    async def _take(self) -> None:
        """Take what changed; streams hear of it when all of it is taken."""
        view = self.view
        assert view is not None
        assert view.changed is not None
        position, taken = position_of(view), view.changed.take()
        for keys in taken:
            self._tell_watchers(keys)
        if self._readers:
            self._unlogged += taken
        if self._turns.is_round and self._unlogged:
            unlogged, self._unlogged = self._unlogged, []
            await self._log(unlogged)
            self.due.update(self._readers)
        if self.view is view:
            former_head, self.head, self.position = self.head, self.log.end, position
            self._made_anew(former_head)
            if self._turns.is_round:
                positions = (each.watch.position for each in self._readers)
                self.log.forget(min(positions, default=self.head))

    async def _log(self, taken: list[Keys]) -> None:
        for keys in map(list, taken):
            for place in range(0, len(keys), LOGGED):
                self.log.add(keys[place : place + LOGGED])
                if len(keys) > LOGGED:
                    await asyncio.sleep(0)

    def _tell_watchers(self, keys: Keys) -> None:
        """Mark the streams of devices that changed."""
        watchers = self._watchers
        # The fewer ones are looked up among the more.
        few, many = (watchers, keys) if len(watchers) < len(keys) else (keys, watchers)
        for key in few:
            if key in many:
                for feed in watchers[key]:
                    feed.watch.note(key)  # type: ignore[attr-defined]  # Devices are indexed only
                    self.due.add(feed)

    def _end_all(self) -> None:
        for feed in [*self._feeds]:
            feed.end(events.retry())

    def _end_revoked(self) -> None:
        valid: dict[Token, bool] = {}
        for feed in [*self._feeds]:
            if feed.token not in valid:
                valid[feed.token] = self._tokens.is_valid(feed.token)
            if not valid[feed.token]:
                feed.end()
