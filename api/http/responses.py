"""Answers: JSON, errors, and long ones that are sent as they are made."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, MutableMapping
from contextlib import ExitStack
from typing import Any

import msgspec
from starlette.responses import Response

from api.errors import ApiError

DOCUMENTATION = "/docs"
_encode = msgspec.json.encode

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class JsonAnswer(Response):
    """A whole answer in JSON; `content` is anything msgspec writes."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Write the content as JSON."""
        return _encode(content)

    def init_headers(self, headers: Mapping[str, str] | None = None) -> None:
        """Take the headers, none of which are those of a body: half as long as Starlette's way."""
        self.raw_headers = [
            *_raw_headers(headers or {}),
            (b"content-length", b"%d" % len(self.body)),
            (b"content-type", b"application/json"),
        ]


def _raw_headers(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]


def error_content(text: str, details: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the body of every error."""
    return {"error": text, "documentation": DOCUMENTATION, **(details or {})}


def error_answer(error: ApiError) -> JsonAnswer:
    """Return the answer to a request that failed."""
    content = error_content(error.text, error.details())
    return JsonAnswer(content, error.status, dict(error.headers))


async def no_pieces() -> AsyncGenerator[bytes, None]:
    """Yield nothing: the body of an answer to HEAD."""
    nothing: tuple[bytes, ...] = ()
    for piece in nothing:
        yield piece


class StreamedAnswer(Response):
    """An answer sent piece by piece; how slowly it may be read is the connection's matter."""

    def __init__(
        self,
        pieces: AsyncGenerator[bytes, None],
        headers: Mapping[str, str],
        media_type: str,
        held: ExitStack | None = None,
    ) -> None:
        """Keep where the pieces come from, and what is released at the end.

        The generator is always closed.
        """
        self._pieces = pieces
        self._held = held or ExitStack()
        self.status_code = 200
        self.background = None
        self.raw_headers = [
            (b"content-type", media_type.encode()),
            *_raw_headers(headers),
        ]

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Send it. Raises: ClientGone, from `send`, when nobody is there any more."""
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            if scope["method"] != "HEAD":
                async for piece in self._pieces:
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            with self._held:
                await self._pieces.aclose()
