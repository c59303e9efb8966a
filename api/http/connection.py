"""One connection: uvicorn's, with the bounds that it has not.

    silent, or a head that trickles in      408 or closed after API_HEAD_TIMEOUT_SECONDS
    a head without an end                   414 or 431 as soon as it is over the bounds
    what is no HTTP/1.0 or 1.1              400
    a request sent ahead                    waits unread until the one before is answered
    more connections than allowed           503, old ones are served on
    an answer that is not read              cut off after API_SEND_TIMEOUT_SECONDS

A body that trickles in is a matter of whoever reads it (bodies.py); one that nobody reads is
the head of the next request that does not come. Guarantees: at any time either a handler is at
work for a connection, or a timer runs that ends it; what a client can make the server keep
before a handler sees it is bounded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from typing import Any

from uvicorn.protocols.http.flow_control import FlowControl

from api.errors import ApiError, Busy, ClientGone, RequestTimeout
from api.http.cors import Cors
from api.http.framing import OneRequest, refusal
from api.http.middleware import status_of
from api.http.responses import Message
from api.http.write_coalescing import JoinedWrites, Progress
from api.metrics import Metrics

#: How long a client may go on sending after a refusal: a reset would take the answer away.
LINGER_SECONDS = 1.5
#: Refused ones that are open at once, above those that are served.
LINGERING = 100


@dataclass(frozen=True)
class Bounds:
    """What all connections of a server share."""

    connections: int
    head_timeout_seconds: float
    send_timeout_seconds: float
    statuses: Mapping[type[ApiError], int]
    metrics: Metrics
    cors: Cors
    lingering: set[Connection] = field(default_factory=set)


class Connection(OneRequest):
    """A client's connection, from its first byte to its last."""

    def __init__(self, *, bounds: Bounds, **uvicorns: Any) -> None:
        """Begin with nothing received."""
        super().__init__(**uvicorns)
        self._bounds = bounds
        self._timer: asyncio.TimerHandle | None = None
        #: It ends with the answer under way; nothing that comes is looked at any more.
        self._is_last = self._is_over = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a client in, or tell it that there are too many."""
        self._writes = JoinedWrites(transport, self.loop)
        self._progress = Progress(self._writes, self.loop, self._bounds.send_timeout_seconds)
        super().connection_made(self._writes)  # type: ignore[arg-type]
        self.flow = FlowControl(self)  # type: ignore[arg-type]
        if len(self.connections) - len(self._bounds.lingering) > self._bounds.connections:
            self._refuse(Busy("too many connections; try again in a second"))
        else:
            self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of everything."""
        self._is_over = True
        self._unwatch()
        self._progress.stop()
        self._bounds.lingering.discard(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what came, up to the end of a request; what comes after a refusal is dropped."""
        if self._is_over:
            return
        self.ahead += data
        try:
            self.parse()
        except ApiError as error:
            self._refuse(error)
        else:
            self._watch()

    def pause_writing(self) -> None:
        """Look from now on whether the client reads."""
        super().pause_writing()
        self._progress.watch()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        """Wait for a handler only; its `send` raises ClientGone and knows HTTP/1.0."""
        self._unwatch()
        is_old = cycle.scope["http_version"] == "1.0"
        # To the close instead of in chunks.
        cycle.chunked_encoding = False if is_old else None

        def send(message: Message) -> Awaitable[None]:
            if cycle.disconnected:
                raise ClientGone
            if is_old:
                cycle.expected_content_length = len(message.get("body", b""))
            if self.in_request and message.get("status", 200) >= 400:
                return self._send_early(cycle, message)
            return cycle.send(message)  # type: ignore[no-any-return]

        super()._start_asgi_task(cycle, lambda scope, receive, _: app(scope, receive, send))

    async def _send_early(self, cycle: Any, message: Message) -> None:
        """Say close, and do it: uvicorn would while the client still sends."""
        cycle.keep_alive = False
        await cycle.send(message)
        self._is_last = cycle.keep_alive = True

    def on_response_complete(self) -> None:
        """Wait for the next request, and for the client to read this answer."""
        self._writes.flush()
        self._progress.watch()
        super().on_response_complete()
        if self._is_last:
            self._linger()
        elif (self.in_request or self.ahead) and not self.transport.is_closing():
            # The rest of a body, or half a head: has a deadline, not just an idle time.
            try:
                self.parse()
                self._watch()
            except ApiError as error:
                self._refuse(error, is_told=False)

    def _watch(self) -> None:
        """Begin the time for the next head, unless it runs; bytes do not lengthen it."""
        self._unset_keepalive_if_required()
        if self._timer is None and not self.is_at_work:
            self._timer = self.loop.call_later(self._bounds.head_timeout_seconds, self._give_up)

    def _unwatch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        if self.in_head:
            self._refuse(RequestTimeout("the head of the request did not come in time"))
        else:
            self._bounds.metrics.refused_connections.labels("Silent").inc()
            self.transport.close()

    def _refuse(self, error: ApiError, *, is_told: bool = True) -> None:
        """Answer what is no request of ours, and close.

        Not told is who sent it ahead: whoever reads an answer too many may take it for the one
        to its next request.
        """
        self._bounds.metrics.refused_connections.labels(type(error).__name__).inc()
        self._is_over = True
        if self.is_at_work:
            if self.cycle.response_started:
                self._is_last = True
                return
            # The body is broken: it has not been and will not be handled.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if is_told:
            cors = self._bounds.cors.headers(self.scope["headers"] if self.scope else ())
            self.transport.write(refusal(error, status_of(error, self._bounds.statuses), cors))
        self._linger()

    def _linger(self) -> None:
        """Close once the client has had time to read the answer."""
        self._is_over = True
        self._unwatch()
        self._unset_keepalive_if_required()
        if self.transport.is_closing():
            return
        if len(self._bounds.lingering) >= LINGERING:
            self.transport.close()
        else:
            self._bounds.lingering.add(self)
            self.transport.write_eof()
            self.loop.call_later(LINGER_SECONDS, self.transport.close)
        self._progress.watch()
