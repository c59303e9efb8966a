"""Streams of totals as a client reads them: events told apart, and the rows that they add up to."""

from __future__ import annotations

import asyncio
import json
from typing import Any, NamedTuple

from api.auth.token_store import Token
from api.query.streams.feed import Feed
from api.query.streams.hub import Hub
from api.query.streams.watches import Watch


class Event(NamedTuple):
    """One event; `id` None: it has none."""

    name: str
    id: str | None
    data: dict[str, Any]


class Parser:
    """Takes in what comes, in any pieces, and tells events apart as a browser does."""

    def __init__(self) -> None:
        self._rest = b""
        self.retries: list[int] = []

    def feed(self, received: bytes) -> list[Event]:
        *blocks, self._rest = (self._rest + received).split(b"\n\n")
        found = []
        for block in blocks:
            fields = dict(line.decode().split(": ", 1) for line in block.split(b"\n"))
            if "retry" in fields:
                self.retries.append(int(fields.pop("retry")))
            if fields:
                data = json.loads(fields.pop("data"))
                found.append(Event(fields.pop("event"), fields.pop("id", None), data))
            assert not fields
        return found


class Table:
    """What a reader shows: snapshots replace, changes add."""

    def __init__(self) -> None:
        self.rows: dict[str, str] = {}
        self.last_id: str | None = None
        self._arriving: dict[str, str] | None = None

    def take(self, event: Event) -> None:
        rows = {
            row["device_id"]: row["total_energy_consumed_exact"]
            for row in event.data.get("rows", [])
        }
        if event.name == "snapshot":
            self._arriving = {**(self._arriving or {}), **rows}
            if not event.data["more"]:
                self.rows, self._arriving = self._arriving, None
        elif event.name == "change":
            assert self._arriving is None
            assert rows or event.data["left"]
            self.rows |= rows
            for device in event.data.get("left", []):
                del self.rows[device]
        self.last_id = event.id or self.last_id


class Reader:
    """Reads a feed as an answer does; a slow one takes the next event only when it is told."""

    def __init__(self, feed: Feed, *, is_slow: bool = False) -> None:
        self.feed = feed
        self.events: list[Event] = []
        self.table = Table()
        self.sizes: list[int] = []
        self.parser = Parser()
        self._goes_on = asyncio.Event()
        self._is_slow = is_slow
        self.task = asyncio.create_task(self._read())

    @classmethod
    async def open(
        cls,
        hub: Hub,
        token: Token,
        watch: Watch,
        last_event_id: str | None = None,
        *,
        is_slow: bool = False,
    ) -> Reader:
        last = None if last_event_id is None else last_event_id.encode()
        reader = cls(await hub.open(token, watch, last), is_slow=is_slow)
        await settle()
        return reader

    async def _read(self) -> None:
        try:
            while sent := await self.feed.next():
                self.sizes.append(len(sent))
                for event in self.parser.feed(sent):
                    self.events.append(event)
                    self.table.take(event)
                if self._is_slow and self.events:
                    await self._goes_on.wait()
                    self._goes_on.clear()
                    self.feed.took(1.0)
                else:
                    self.feed.took(0.0)
        finally:
            self.feed.close()

    async def go_on(self) -> None:
        """Let a slow one take the next event."""
        self._goes_on.set()
        await settle()

    def names(self) -> list[str]:
        return [event.name for event in self.events]

    def new(self) -> list[Event]:
        """Return the events since the last call, but for progress."""
        found, self.events = self.events, []
        return [event for event in found if event.name != "progress"]

    async def leave(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def settle() -> None:
    """Give every task some turns."""
    for _ in range(20):
        await asyncio.sleep(0)
