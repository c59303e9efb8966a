"""HTTP/1 as bytes, before there is a request: what is refused, what is passed over, the refusal."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus

import msgspec

from api.answers import error_content
from api.errors import ApiError, BadRequest

_VERSIONS = ("1.0", "1.1")


def check_framing(version: str, target: bytes, headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Refuse what llhttp lets through and a proxy may read in another way. Raises: BadRequest."""
    if version not in _VERSIONS:
        raise BadRequest("the HTTP version is neither 1.1 nor 1.0")
    if b"#" in target:
        raise BadRequest("the path has a #")
    for name, value in headers:
        if name == b"transfer-encoding" and (value.lower() != b"chunked" or version == "1.0"):
            raise BadRequest("header Transfer-Encoding: only chunked, and only in HTTP/1.1")


def without_offer(method: bytes, target: bytes, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the head of a request as if it had not offered another protocol.

    HTTP lets a server pass the offer over, and Java's HttpClient offers HTTP/2 with its first
    request; the parser would take the body for bytes of the other protocol.
    """
    lines = [method + b" " + target + b" HTTP/1.1"]
    for name, value in headers:
        if name == b"connection":
            words = [word.strip() for word in value.split(b",")]
            value = b", ".join(word for word in words if word.lower() != b"upgrade")
        if name != b"upgrade":
            lines.append(name + b": " + value)
    return b"\r\n".join(lines) + b"\r\n\r\n"


def refusal(error: ApiError, status: int) -> bytes:
    """Return a whole answer, after which the connection is closed."""
    body = msgspec.json.encode(error_content(error.text))
    headers = "".join(f"{name.lower()}: {value}\r\n" for name, value in error.headers)
    return (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
        f"{headers}connection: close\r\n\r\n"
    ).encode() + body
