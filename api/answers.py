"""Answers: JSON, errors, and long ones that are sent as they are made."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, MutableMapping
from typing import Any

import msgspec
from starlette.responses import Response

from api.errors import ApiError, ClientGone

DOCUMENTATION = "/docs"
_encode = msgspec.json.encode

#: How long, and how much, is read of a request that was answered before it was complete: a
#: client that is still sending would else never see the answer.
LINGER_SECONDS = 1.5
LINGER_BYTES = 64 * 1024 * 1024
#: A long answer is read at least this fast, or cut off.
BYTES_PER_SECOND = 10_000

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class JsonAnswer(Response):
    """A whole answer in JSON; `content` is anything msgspec writes."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Write the content as JSON."""
        return _encode(content)


def error_content(text: str, details: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the body of every error."""
    return {"error": text, "documentation": DOCUMENTATION, **(details or {})}


def error_answer(error: ApiError, status: int) -> JsonAnswer:
    """Return the answer to a request that failed."""
    return JsonAnswer(error_content(error.text, error.details()), status, dict(error.headers))


async def answer_early(answer: Response, receive: Receive, send: Send) -> None:
    """Answer a request whose body may not have come whole: then linger, and close.

    The answer goes out at once; what still comes is read and dropped, within bounds.
    """
    headers = [*answer.raw_headers, (b"connection", b"close")]
    await send({"type": "http.response.start", "status": answer.status_code, "headers": headers})
    await send({"type": "http.response.body", "body": bytes(answer.body), "more_body": True})
    dropped = 0
    try:
        async with asyncio.timeout(LINGER_SECONDS):
            while dropped < LINGER_BYTES:
                message = await receive()
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    break
                dropped += len(message.get("body", b""))
    except TimeoutError:
        pass
    await send({"type": "http.response.body", "body": b"", "more_body": False})


class StreamedAnswer(Response):
    """An answer sent piece by piece; a client that takes nothing for long is cut off."""

    def __init__(
        self,
        pieces: AsyncGenerator[bytes, None],
        headers: Mapping[str, str],
        media_type: str,
        send_timeout_seconds: float,
    ) -> None:
        """Keep where the pieces come from; the generator is always closed."""
        self._pieces = pieces
        self._timeout = send_timeout_seconds
        self._begun_at = time.monotonic()
        self._sent = 0
        self.status_code = 200
        self.background = None
        self.raw_headers = [
            (b"content-type", media_type.encode()),
            *((name.lower().encode(), value.encode()) for name, value in headers.items()),
        ]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Send it. Raises: ClientGone when the client reads nothing any more."""
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            if scope["method"] != "HEAD":
                async for piece in self._pieces:
                    await self._send(send, piece, more=True)
            await self._send(send, b"", more=False)
        finally:
            await self._pieces.aclose()

    async def _send(self, send: Send, piece: bytes, *, more: bool) -> None:
        # Who takes a little now and then would hold a moment of the view for hours.
        left = self._begun_at + self._sent / BYTES_PER_SECOND - time.monotonic()
        self._sent += len(piece)
        try:
            async with asyncio.timeout(self._timeout + min(0.0, left)):
                await send({"type": "http.response.body", "body": piece, "more_body": more})
        except TimeoutError:
            raise ClientGone("the client reads nothing") from None
