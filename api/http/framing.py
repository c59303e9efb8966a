"""HTTP/1 as bytes, before there is a request: one at a time, within bounds, or a refusal."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from http import HTTPStatus
from typing import Any

import httptools
import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.errors import ApiError, BadRequest, MethodNotAllowed, TooLongTarget, TooManyHeaders
from api.http.responses import error_content

Headers = Sequence[tuple[bytes, bytes]]

PATH_BYTES = 8 * 1024
QUERY_BYTES = 64 * 1024
HEADERS = 100
HEADER_BYTES = 64 * 1024
#: All of it, with line ends and what the parser keeps to itself until a header is whole.
HEAD_BYTES = PATH_BYTES + QUERY_BYTES + HEADER_BYTES + 16 * 1024

#: Parsed in one turn of the event loop, of all but a body of known length: short lines, headers
#: and chunks cost up to 1 us a byte.
TURN_BYTES = 8 * 1024

_VERSIONS = ("1.0", "1.1")
_HOST = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+,;=%\-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?")
_CHECKED = frozenset((b"host", b"content-length", b"transfer-encoding"))
#: What ends every head and every chunked body, and its beginning at the end of a piece.
_END = b"\r\n\r\n"
_BEGUN = re.compile(rb"\r(?:\n\r?)?\Z")


class OneRequest(HttpToolsProtocol):
    """uvicorn's protocol, which is fed no further than to the end of a request."""

    def __init__(self, **uvicorns: Any) -> None:
        """Begin with nothing received."""
        super().__init__(**uvicorns)
        #: What came and is not parsed yet.
        self.ahead = b""
        #: Some of it waits for the next turn of the event loop; nothing is read meanwhile.
        self.is_behind = False
        #: A request has begun and its head, or all of it, has not come yet.
        self.in_head = self.in_request = False
        self._head_bytes = self._body_bytes = 0

    @property
    def is_at_work(self) -> bool:
        """Whether a handler is."""
        return self.cycle is not None and not self.cycle.response_complete

    def parse(self) -> None:
        """Parse what came, a part in each turn; what follows a request waits for its answer.

        Raises: ApiError.
        """
        if self.is_behind:
            return
        data, at = self.ahead, 0
        limit = len(data) if len(data) <= TURN_BYTES else TURN_BYTES
        while at < len(data) and (self.in_request or not self.is_at_work):
            if self._body_bytes:
                end = min(len(data), at + self._body_bytes)
                self._body_bytes -= end - at
            elif (found := data.find(_END, at, limit)) >= 0:
                end = found + len(_END)
            elif begun := _BEGUN.search(data, max(at, limit - len(_END)), limit):
                end = begun.start()
            else:
                end = limit
            if end <= at:
                self.is_behind = limit < len(data)
                break
            self._head_bytes += end - at
            piece, at = data[at:end], end
            self._feed(piece)
            if not self.in_head:
                # What comes behind a chunked body must not become a header of the request.
                self.headers = []
            if self.headers and len(self.headers) > HEADERS:
                raise TooManyHeaders(f"there are more than {HEADERS} headers")
            if self.in_head and self._head_bytes > HEAD_BYTES:
                kind = TooManyHeaders if self.headers else TooLongTarget
                raise kind(f"the head is larger than {HEAD_BYTES} bytes")
        self.ahead = data[at:]
        if self.is_behind:
            self.transport.pause_reading()
            self.loop.call_soon(self._parse_rest)
        elif self.ahead and self.is_at_work and not self.in_request:
            self.flow.pause_reading()

    def _parse_rest(self) -> None:
        self.is_behind = False
        self.data_received(b"")
        if not self.flow.read_paused:
            self.resume_reading()

    def pause_reading(self) -> None:
        """Be the transport of uvicorn's FlowControl."""
        self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Read on, once all that came is parsed."""
        if not self.is_behind:
            self.transport.resume_reading()

    def _feed(self, data: bytes) -> None:
        """Raises: ApiError, also where a callback below raised it."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            version = self.parser.get_http_version()
            head = without_offer(self.parser.get_method(), version, self.url, self.headers)
            self.parser = httptools.HttpRequestParser(self)
            self._feed(head)
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

    def on_message_begin(self) -> None:
        """Expect a head."""
        super().on_message_begin()
        self.in_head = self.in_request = True
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        """Hand the request to a handler. Raises: ApiError."""
        if not self.parser.should_upgrade():
            version = self.parser.get_http_version()
            self._body_bytes = check_head(version, self.url, self.headers)
            super().on_headers_complete()
            self.in_head = False
        elif self.parser.get_method() == b"CONNECT":
            raise MethodNotAllowed("this is no proxy")

    def on_message_complete(self) -> None:
        """Note that the request is whole, unless it is to be parsed again without its offer."""
        if not self.in_head:
            self.in_request = False
            super().on_message_complete()


def check_head(version: str, target: bytes, headers: Headers) -> int:
    """Return the length of a body that is not in chunks.

    Refuses what is out of bounds, and what a proxy may read in another way than llhttp. Raises:
    BadRequest, TooLongTarget, TooManyHeaders.
    """
    if version not in _VERSIONS:
        raise BadRequest("the HTTP version is neither 1.1 nor 1.0")
    if len(target) > PATH_BYTES:
        path, _, query = target.partition(b"?")
        if len(path) > PATH_BYTES:
            raise TooLongTarget(f"the path is longer than {PATH_BYTES} bytes")
        if len(query) > QUERY_BYTES:
            raise TooLongTarget(f"the query is longer than {QUERY_BYTES} bytes")
    if b"#" in target:
        raise BadRequest("the path has a #")
    if len(headers) > HEADERS:
        raise TooManyHeaders(f"there are more than {HEADERS} headers")
    size = length = hosts = 0
    for name, value in headers:
        size += len(name) + len(value)
        if name not in _CHECKED:
            continue
        if name == b"host":
            hosts += 1
            if not _is_host(value):
                raise BadRequest("header Host: is no host and port")
        elif name == b"content-length":
            length = int(value)
        elif value.lower() != b"chunked" or version == "1.0":
            raise BadRequest("header Transfer-Encoding: only chunked, and only in HTTP/1.1")
    if size > HEADER_BYTES:
        raise TooManyHeaders(f"the headers are larger than {HEADER_BYTES} bytes")
    if hosts > 1 or (not hosts and version == "1.1"):
        raise BadRequest("header Host: must be given once")
    return length


@lru_cache(maxsize=64)
def _is_host(value: bytes) -> bool:
    """Cached: clients of one server send few, and send them with each request."""
    return _HOST.fullmatch(value) is not None


def without_offer(method: bytes, version: str, target: bytes, headers: Headers) -> bytes:
    """Return the head of a request as if it had not offered another protocol.

    HTTP lets a server pass the offer over, and Java's HttpClient offers HTTP/2 with its first
    request; the parser would take the body for bytes of the other protocol.
    """
    lines = [b"%b %b HTTP/%b" % (method, target, version.encode())]
    for name, value in headers:
        if name == b"connection":
            words = [word.strip() for word in value.split(b",")]
            value = b", ".join(word for word in words if word.lower() != b"upgrade")
        if name != b"upgrade":
            lines.append(name + b": " + value)
    return b"\r\n".join(lines) + b"\r\n\r\n"


def refusal(error: ApiError, status: int, cors: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return a whole answer, after which the connection is closed."""
    body = msgspec.json.encode(error_content(error.text))
    own = ((name.lower().encode(), value.encode()) for name, value in error.headers)
    headers = b"".join(b"%b: %b\r\n" % header for header in (*own, *cors))
    return (
        b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
        b"%bconnection: close\r\n\r\n%b"
        % (status, HTTPStatus(status).phrase.encode(), len(body), headers, body)
    )
