"""HTTP/1 as bytes, before there is a request: in which pieces, within which bounds, or refused.

Pure: knows neither uvicorn nor a socket.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from http import HTTPStatus
from typing import NoReturn

from api.errors import ApiError, BadRequest, MethodNotAllowed, TooLongTarget, TooManyHeaders
from api.http.responses import error_answer

Headers = Sequence[tuple[bytes, bytes]]

PATH_BYTES = 8 * 1024
QUERY_BYTES = 64 * 1024
HEADERS = 100
HEADER_BYTES = 64 * 1024
#: All of it, with line ends and what the parser keeps to itself until a header is whole.
HEAD_BYTES = PATH_BYTES + QUERY_BYTES + HEADER_BYTES + 16 * 1024

_VERSIONS = ("1.0", "1.1")
_HOST = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+,;=%\-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?")
_CHECKED = frozenset((b"host", b"content-length", b"transfer-encoding"))
#: What ends every head and every chunked body.
_END = b"\r\n\r\n"
_OFFER = re.compile(rb"\r\nupgrade:", re.IGNORECASE)


def end_of_piece(data: bytes, start: int, limit: int) -> int:
    """Return how far `data` may be parsed from `start` without passing the end of a request.

    What may be the beginning of such an end waits for the rest of it.
    """
    found = data.find(_END, start, limit)
    return found + len(_END) if found >= 0 else limit - len(_END) + 1


def without_offer(head: bytes) -> bytes:
    """Return a head, or a part of one, as if it did not offer another protocol.

    HTTP lets a server pass the offer over, and Java's HttpClient offers HTTP/2 with its first
    request; the parser would take the body for bytes of the other protocol.
    """
    return _OFFER.sub(b"\r\nx-upgrade:", head)


def refuse_method(head: bytes) -> NoReturn:
    """Refuse what does not begin with a method. Raises: MethodNotAllowed, BadRequest."""
    word = head[:20].partition(b" ")[0]
    if word.isalpha() and word.isupper():
        raise MethodNotAllowed("unknown method")
    raise BadRequest("this is not HTTP")


def check_part(size: int, headers: Headers) -> None:
    """Refuse a head that is too large before its end has come. Raises: as check_head."""
    if len(headers) > HEADERS:
        raise TooManyHeaders(f"there are more than {HEADERS} headers")
    if size > HEAD_BYTES:
        kind = TooManyHeaders if headers else TooLongTarget
        raise kind(f"the head is larger than {HEAD_BYTES} bytes")


def check_head(version: str, target: bytes, headers: Headers) -> int:
    """Return the length of a body that is not in chunks.

    Refuses what is out of bounds, and what a proxy may read in another way than llhttp. Raises:
    BadRequest, TooLongTarget, TooManyHeaders.
    """
    if version not in _VERSIONS:
        raise BadRequest("the HTTP version is neither 1.1 nor 1.0")
    if len(target) > PATH_BYTES:
        path, _, query = target.partition(b"?")
        for what, part, most in (("path", path, PATH_BYTES), ("query", query, QUERY_BYTES)):
            if len(part) > most:
                raise TooLongTarget(f"the {what} is longer than {most} bytes")
    if b"#" in target:
        raise BadRequest("the path must not contain a #")
    check_part(0, headers)
    size = length = hosts = 0
    for name, value in headers:
        size += len(name) + len(value)
        if name not in _CHECKED:
            continue
        if name == b"host":
            hosts += 1
            if not _is_host(value):
                raise BadRequest("header Host: must be a host, or a host and a port")
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


def refusal(error: ApiError, cors: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return a whole answer, after which the connection is closed."""
    answer = error_answer(error)
    line = b"HTTP/1.1 %d %b\r\n" % (error.status, HTTPStatus(error.status).phrase.encode())
    headers = (*answer.raw_headers, *cors, (b"connection", b"close"))
    return line + b"".join(b"%b: %b\r\n" % each for each in headers) + b"\r\n" + answer.body
