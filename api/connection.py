"""One connection: uvicorn's, with the bounds that it has not.

    silent, or a head that trickles in      408 or closed after API_HEAD_TIMEOUT_SECONDS
    a head without an end                   414 or 431 as soon as it is over the bounds
    too many headers, or requests ahead     431, or closed once those before are answered
    what is no HTTP/1.0 or 1.1              400
    more connections than allowed           503, old ones are served on
    an answer that is not read              cut off after API_SEND_TIMEOUT_SECONDS

A body that trickles in is a matter of whoever reads it (bodies.py); one that nobody reads is
the head of the next request that does not come. Guarantees: at any time either a handler is at
work for a connection, or a timer runs that ends it; what a client can make the server keep
before a handler sees it is bounded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.errors import (
    ApiError,
    BadRequest,
    Busy,
    MethodNotAllowed,
    RequestTimeout,
    TooLongTarget,
    TooManyHeaders,
)
from api.framing import check_framing, refusal, without_offer
from api.front import HEADER_BYTES, HEADERS, PATH_BYTES, QUERY_BYTES, status_of
from api.joined_writes import JoinedWrites
from api.metrics import Metrics

#: What httptools keeps to itself until a header is whole is only seen in what it was fed.
HEAD_BYTES = PATH_BYTES + QUERY_BYTES + HEADER_BYTES + 16 * 1024
#: Requests sent ahead of the answers; no client of today does that.
REQUESTS_AHEAD = 100
#: How long a client may go on sending after a refusal: a reset would take the answer away.
LINGER_SECONDS = 1.5


@dataclass(frozen=True)
class Bounds:
    """What all connections of a server share."""

    connections: int
    head_timeout_seconds: float
    send_timeout_seconds: float
    statuses: Mapping[type[ApiError], int]
    metrics: Metrics


class Connection(HttpToolsProtocol):
    """A client's connection, from its first byte to its last."""

    def __init__(self, *, bounds: Bounds, **uvicorns: Any) -> None:
        """Begin with nothing received."""
        super().__init__(**uvicorns)
        self._bounds = bounds
        self._timer: asyncio.TimerHandle | None = None
        self._stuck: asyncio.TimerHandle | None = None
        self._refusal: ApiError | None = None
        #: A request has begun and its head, or all of it, has not come yet.
        self._in_head = self._in_request = False
        self._head_bytes = 0

    # What the transport tells

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a client in, or tell it that there are too many."""
        self._writes = JoinedWrites(transport, self.loop)
        super().connection_made(self._writes)
        if len(self.connections) > self._bounds.connections:
            self._refuse(Busy("too many connections; try again in a second"))
            return
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of everything."""
        self._unwatch()
        self._unstick()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what came; what comes after a refusal is dropped."""
        if self._refusal is not None:
            return
        self._unset_keepalive_if_required()
        if self._in_head:
            self._head_bytes += len(data)
        try:
            self._feed(data)
            if self._in_head and self._head_bytes > HEAD_BYTES:
                raise TooManyHeaders(f"the head is larger than {HEAD_BYTES} bytes")
        except ApiError as error:
            self._refuse(error)
            return
        self._watch()

    def pause_writing(self) -> None:
        """Begin the time a client has to read some of what waits for it."""
        super().pause_writing()
        # A second more than a listing gives itself, which then ends in order.
        seconds = self._bounds.send_timeout_seconds + 1.0
        self._stuck = self.loop.call_later(seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Note that it has."""
        self._unstick()
        super().resume_writing()

    def _unstick(self) -> None:
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None

    def _feed(self, data: bytes) -> None:
        """Raises: ApiError, also where a callback below raised it."""
        while data:
            try:
                self.parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as upgrade:
                head = without_offer(self.parser.get_method(), self.url, self.headers)
                data = head + data[upgrade.args[0] :]
                self.parser = httptools.HttpRequestParser(self)
            except httptools.HttpParserInvalidMethodError:
                word = data[:20].partition(b" ")[0]
                if word.isalpha() and word.isupper():
                    raise MethodNotAllowed("no such method") from None
                raise BadRequest("this is no HTTP") from None
            except httptools.HttpParserCallbackError as error:
                if isinstance(error.__context__, ApiError):
                    raise error.__context__ from None
                raise BadRequest("the target of the request cannot be read") from None
            except httptools.HttpParserError as error:
                raise BadRequest(f"this is no HTTP/1.1: {error}") from None

    # What the parser tells

    def on_message_begin(self) -> None:
        """Expect a head."""
        super().on_message_begin()
        self._in_head = self._in_request = True
        self._head_bytes = 0

    def on_url(self, url: bytes) -> None:
        """Keep the target, or a part of it. Raises: TooLongTarget."""
        super().on_url(url)
        if len(self.url) > PATH_BYTES + QUERY_BYTES:
            raise TooLongTarget(f"path and query are longer than {PATH_BYTES + QUERY_BYTES} bytes")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header. Raises: TooManyHeaders."""
        if not self._in_head:
            # Behind a chunked body: nobody asked for it, and it must not become a header.
            return
        super().on_header(name, value)
        if len(self.headers) > HEADERS:
            raise TooManyHeaders(f"there are more than {HEADERS} headers")

    def on_headers_complete(self) -> None:
        """Hand the request to a handler. Raises: BadRequest."""
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise MethodNotAllowed("this is no proxy")
            return
        check_framing(self.parser.get_http_version(), self.url, self.headers)
        if len(self.pipeline) >= REQUESTS_AHEAD:
            raise BadRequest(f"more than {REQUESTS_AHEAD} requests sent ahead")
        super().on_headers_complete()
        self._in_head = False
        self._unwatch()

    def on_message_complete(self) -> None:
        """Note that the request is whole."""
        if self.parser.should_upgrade():
            return
        self._in_request = False
        super().on_message_complete()

    # What the handler tells

    def on_response_complete(self) -> None:
        """Wait for the next request, and for the client to read this answer."""
        self._writes.flush()
        super().on_response_complete()
        if self.transport.get_write_buffer_size():
            self.loop.call_later(self._bounds.send_timeout_seconds, self._cut_off)
        if self._in_request and not self.transport.is_closing():
            # The rest of a body, or half a head: has a deadline, not just an idle time.
            self._unset_keepalive_if_required()
            self._watch()

    # How it ends

    @property
    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _watch(self) -> None:
        """Begin the time for the next head, unless it runs; bytes do not lengthen it."""
        if self._timer is None and self._is_idle:
            self._timer = self.loop.call_later(self._bounds.head_timeout_seconds, self._give_up)

    def _unwatch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        self._timer = None
        if self._in_head:
            self._refuse(RequestTimeout("the head of the request did not come in time"))
        elif self._is_idle:
            self._bounds.metrics.refused_connections.labels("Silent").inc()
            self.transport.close()
            self._cut_off_later()

    def _refuse(self, error: ApiError) -> None:
        """Answer what is no request of ours, and close; requests before it are answered first."""
        self._refusal = error
        self._unwatch()
        self._bounds.metrics.refused_connections.labels(type(error).__name__).inc()
        if not self._is_idle:
            if self._in_head or not self._in_request:
                # Those before it are whole.
                self.cycle.keep_alive = False
                return
            # The body of the last one is broken: it has not been and will not be handled.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self._is_idle or not (self.cycle.response_started or self.pipeline):
            self.transport.write(refusal(error, status_of(error, self._bounds.statuses)))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(LINGER_SECONDS, self.transport.close)
        self._cut_off_later()

    def _cut_off_later(self) -> None:
        self.loop.call_later(LINGER_SECONDS + 1.0, self._cut_off)

    def _cut_off(self) -> None:
        """Drop the connection if its client has still not read what was sent long ago."""
        if self.transport.get_write_buffer_size() and self._is_idle:
            self.transport.abort()
