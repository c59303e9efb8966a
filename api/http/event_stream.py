"""An answer without an end: server-sent events, written as they are made.

Guarantees: an event is asked for only once the client has taken what was sent before, so a slow
one is not sent what is old; what waits for a client is its last event, and KEPT_BYTES here and
in the kernel. A client that takes nothing is ended as with every answer (connection.py), one that
has vanished by the kernel, in the same time.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from typing import Any, Protocol

from starlette.responses import Response

from api.http.media_types import EVENT_STREAM
from api.http.responses import Receive, Send

#: Sent ahead of what a client takes: with more, it would read of yesterday.
KEPT_BYTES = 16 * 1024
HEADERS = {
    "Cache-Control": "no-store",
    # nginx would wait for the end.
    "X-Accel-Buffering": "no",
}
#: In the message that begins the answer: who is told its connection, called once.
OPENED = "opened"


class Events(Protocol):
    """Where the events come from."""

    async def next(self) -> bytes:
        """Return the next events, nothing at the end."""

    def took(self, seconds: float) -> None:
        """Take in how long it was until the client had taken them."""

    def opened(self, connection: asyncio.WriteTransport) -> None:
        """Take in the connection."""

    def close(self) -> None:
        """Release it: nobody reads any more."""


class EventStream(Response):
    """Sends events until there are no more, or nobody reads."""

    def __init__(
        self, events: Events, headers: Mapping[str, str], send_timeout_seconds: float
    ) -> None:
        """Keep where the events come from; they are always closed."""
        self._events = events
        self._timeout_seconds = send_timeout_seconds
        self.status_code = 200
        self.background = None
        self.raw_headers = [
            (b"content-type", EVENT_STREAM.encode()),
            *(
                (name.lower().encode(), value.encode())
                for name, value in {**HEADERS, **headers}.items()
            ),
        ]

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Send them. Raises: ClientGone, from `send`, when nobody is there any more."""
        now = asyncio.get_running_loop().time
        try:
            await send(
                {
                    "type": "http.response.start",
                    "status": 200,
                    "headers": self.raw_headers,
                    OPENED: self._opened,
                }
            )
            while events := await self._events.next():
                sent_at = now()
                await send({"type": "http.response.body", "body": events, "more_body": True})
                # Adds nothing: it returns when the client has taken nearly all.
                await send({"type": "http.response.body", "body": b"", "more_body": True})
                self._events.took(now() - sent_at)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._events.close()

    def _opened(self, transport: Any) -> None:
        """Let little wait for the client, here and in the kernel, and notice if it vanishes."""
        transport.set_write_buffer_limits(high=KEPT_BYTES)
        connection = transport.get_extra_info("socket")
        for option, value in (
            ("TCP_NOTSENT_LOWAT", KEPT_BYTES),
            ("TCP_USER_TIMEOUT", int(self._timeout_seconds * 1_000)),
        ):
            # Linux has both.
            if connection is not None and hasattr(socket, option):
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
        self._events.opened(transport)
