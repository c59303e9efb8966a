"""One connection: uvicorn's, with the bounds that it has not.

    silent, or a head that trickles in      408 or closed after API_HEAD_TIMEOUT_SECONDS
    a head without an end                   414 or 431 as soon as it is over the bounds
    what is no HTTP/1.0 or 1.1              400
    a request sent ahead                    waits unread until the one before is answered
    more connections than allowed           503, old ones are served on
    an answer that is not read              cut off after API_SEND_TIMEOUT_SECONDS

A body that trickles in is a matter of whoever reads it (receiving.py); one that nobody reads is
the head of the next request that does not come. Guarantees: whenever the server looks, either a
handler is at work for a connection, or its client has a deadline; what a client can make the
server keep before a handler sees it is bounded. Private names of uvicorn are used here only.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.errors import ApiError, BadRequest, Busy, ClientGone, MethodNotAllowed, RequestTimeout
from api.http import framing
from api.http.cors import Cors
from api.http.event_stream import OPENED
from api.http.responses import Message
from api.http.write_coalescing import JoinedWrites, Progress

#: Parsed in one turn of the event loop, of all but a body of known length: short lines, headers
#: and chunks cost up to 1 us a byte.
TURN_BYTES = 8 * 1024
#: How long a client may continue sending after a refusal: a reset would take the answer away.
LINGER_SECONDS = 1.5
#: Refused ones that are open at once, above those that are served.
LINGERING = 100


@dataclass(frozen=True)
class Bounds:
    """What all connections of a server share."""

    connections: int
    head_timeout_seconds: float
    send_timeout_seconds: float
    #: Told the reason of each connection that is closed without an answer of a route.
    refused: Callable[[str], None]
    cors: Cors
    lingering: set[Connection] = field(default_factory=set)


class Connection(HttpToolsProtocol):
    """A client's connection, from its first byte to its last."""

    transport: JoinedWrites  # type: ignore[assignment]

    def __init__(self, *, bounds: Bounds, **uvicorns: Any) -> None:
        super().__init__(**uvicorns)
        self._bounds = bounds
        #: What came and is not parsed yet.
        self.ahead = b""
        #: A request has begun and its head, or all of it, has not come yet.
        self._in_head = self._in_request = False
        self._head_bytes = self._body_bytes = 0
        #: It ends with the answer under way; nothing that comes is looked at any more.
        self._is_over = False
        self._gives_up_at: float | None = None
        self._progress = Progress(bounds.send_timeout_seconds)

    @property
    def is_at_work(self) -> bool:
        """Whether a handler is."""
        return self.cycle is not None and not self.cycle.response_complete

    def connection_made(self, transport: Any) -> None:
        """Take a client in, or tell it that there are too many."""
        super().connection_made(JoinedWrites(transport, self.loop))  # type: ignore[arg-type]
        if len(self.connections) - len(self._bounds.lingering) > self._bounds.connections:
            self._refuse(Busy("too many connections; try again in a second"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Release everything."""
        self._is_over = True
        self._bounds.lingering.discard(self)
        super().connection_lost(exc)

    def look(self, now: float) -> None:
        """End it if its client has been too slow; called every half second or so.

        The time for a head begins with the first look that misses it; bytes do not lengthen it.
        """
        waits = self._in_request or self.timeout_keep_alive_task is None
        if self._progress.has_ended(self.transport, now):
            self.transport.abort()
        elif self.is_at_work or self._is_over or not waits:
            self._gives_up_at = None
        elif self._gives_up_at is None:
            self._gives_up_at = now + self._bounds.head_timeout_seconds
        elif now >= self._gives_up_at and self._in_head:
            self._refuse(RequestTimeout("the head of the request did not arrive in time"))
        elif now >= self._gives_up_at:
            self._bounds.refused("Silent")
            self._is_over = True
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        """Parse what came, up to the end of a request; what comes after a refusal is dropped."""
        if not self._is_over:
            self._unset_keepalive_if_required()
            self.ahead += data
            self._parse()

    def _parse(self, *, is_told: bool = True) -> None:
        """Parse what came, a part in each turn; what follows a request waits for its answer."""
        if self.transport.is_held or self._is_over:
            return
        data, at = self.ahead, 0
        limit = min(len(data), TURN_BYTES)
        try:
            while at < len(data) and (self._in_request or not self.is_at_work):
                if self._body_bytes:
                    end = min(len(data), at + self._body_bytes)
                    self._body_bytes -= end - at
                elif (end := framing.end_of_piece(data, at, limit)) <= at:
                    break
                self._feed(data[at:end])
                at = end
        except ApiError as error:
            self._refuse(error, is_told=is_told)
            return
        self.ahead = data[at:]
        if self.ahead and self.is_at_work and not self._in_request:
            self.flow.pause_reading()
        elif self.ahead and limit < len(data):
            # Nothing more is read until the next turn.
            self.transport.hold_reading()
            self.loop.call_soon(self._parse_rest)

    def _parse_rest(self) -> None:
        self.transport.is_held = False
        self._parse()
        if not self.flow.read_paused:
            self.transport.resume_reading()

    def _feed(self, data: bytes) -> None:
        """Raises: ApiError, even where a callback below raised it."""
        self._head_bytes += len(data)
        is_body = self._in_request and not self._in_head
        try:
            self.parser.feed_data(data if is_body else framing.without_offer(data))
        except httptools.HttpParserCallbackError as error:
            if isinstance(error.__context__, ApiError):
                raise error.__context__ from None
            raise BadRequest("the target of the request cannot be read") from None
        except httptools.HttpParserInvalidMethodError:
            framing.refuse_method(data)
        except httptools.HttpParserError as error:
            raise BadRequest(f"this is not HTTP/1.1: {error}") from None
        if self._in_head:
            framing.check_part(self._head_bytes, self.headers)
        else:
            # What comes behind a chunked body must not become a header of the request.
            self.headers = []

    def on_message_begin(self) -> None:
        """Expect a head."""
        super().on_message_begin()
        self._in_head = self._in_request = True
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        """Hand the request to a handler. Raises: ApiError."""
        if self.parser.should_upgrade():
            raise MethodNotAllowed("this server only speaks HTTP/1.1")
        version = self.parser.get_http_version()
        self._body_bytes = framing.check_head(version, self.url, self.headers)
        super().on_headers_complete()
        self._in_head = False

    def on_message_complete(self) -> None:
        """Note that the request is whole."""
        self._in_request = False
        super().on_message_complete()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        """Let a handler's `send` raise ClientGone, and know HTTP/1.0 and who still sends."""
        self._gives_up_at = None
        is_old = cycle.scope["http_version"] == "1.0"
        # To the close instead of in chunks.
        cycle.chunked_encoding = False if is_old else None

        def send(message: Message) -> Awaitable[None]:
            if cycle.disconnected:
                raise ClientGone
            if OPENED in message:
                message[OPENED](self.transport)
            if is_old:
                cycle.expected_content_length = len(message.get("body", b""))
            if self._in_request and message.get("status", 200) >= 400:
                return self._send_early(cycle, message)
            return cycle.send(message)  # type: ignore[no-any-return]

        super()._start_asgi_task(cycle, lambda scope, receive, _: app(scope, receive, send))

    async def _send_early(self, cycle: Any, message: Message) -> None:
        """Say close, and do it: uvicorn would while the client still sends."""
        cycle.keep_alive = False
        await cycle.send(message)
        self._is_over = cycle.keep_alive = True

    def on_response_complete(self) -> None:
        """Go on with what the client has sent meanwhile."""
        super().on_response_complete()
        if self._is_over:
            self._linger()
        elif self.ahead and not self.transport.is_closing():
            self._unset_keepalive_if_required()
            self._parse(is_told=False)

    def _refuse(self, error: ApiError, *, is_told: bool = True) -> None:
        """Answer what is no request of ours, and close.

        Who sent it ahead is not told: it may take an answer too many for that to its next request.
        """
        self._bounds.refused(type(error).__name__)
        self._is_over = True
        if self.is_at_work:
            if self.cycle.response_started:
                return
            # The body is broken: it has not been and will not be handled.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if is_told:
            cors = self._bounds.cors.headers(self.scope["headers"] if self.scope else ())
            self.transport.write(framing.refusal(error, cors))
        self._linger()

    def _linger(self) -> None:
        """Close once the client has had time to read the answer."""
        self._is_over = True
        if len(self._bounds.lingering) >= LINGERING or self.transport.is_closing():
            self.transport.close()
        else:
            self._bounds.lingering.add(self)
            self.transport.write_eof()
            self.loop.call_later(LINGER_SECONDS, self.transport.close)
