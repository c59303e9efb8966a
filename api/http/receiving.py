"""The bytes of a request as they come: no more than allowed, and no slower.

Guarantees: no byte beyond the limit is handed on; a body that is cut off, too large or too slow
ends with an error, so that nothing of it becomes a Body or an Upload.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from api.errors import BodyTooLarge, ClientGone, RequestTimeout

#: A body comes at least this fast, or is given up.
BYTES_PER_SECOND = 10_000

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Headers = Iterable[tuple[bytes, bytes]]


async def pieces_of(
    receive: Receive,
    headers: Headers,
    limit: int,
    patience_seconds: float,
    what: str = "body",
    most_seconds: float = float("inf"),
) -> AsyncIterator[bytes]:
    """Yield a body piece by piece; the last one may be empty.

    Raises: BodyTooLarge, where the head says so before anything is received; RequestTimeout
    where nothing comes for `patience_seconds`, or less than BYTES_PER_SECOND, or not all of it
    in `most_seconds`; ClientGone.
    """
    length = next((value for name, value in headers if name == b"content-length"), None)
    if length is not None and length.isdigit() and int(length[:20]) > limit:
        raise _too_large(what, limit)
    begun_at = time.monotonic()
    received = 0
    more = True
    while more:
        passed = time.monotonic() - begun_at
        patience = min(
            patience_seconds,
            patience_seconds + received / BYTES_PER_SECOND - passed,
            most_seconds - passed,
        )
        try:
            async with asyncio.timeout(max(0.0, patience)):
                message = await receive()
        except TimeoutError:
            raise RequestTimeout(
                f"the {what} did not arrive in time: {received} bytes received; nothing was written"
            ) from None
        if message["type"] == "http.disconnect":
            raise ClientGone
        piece = message.get("body", b"")
        more = message.get("more_body", False)
        received += len(piece)
        if received > limit:
            raise _too_large(what, limit)
        yield piece


def _too_large(what: str, limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"the {what} is larger than {limit} bytes; nothing was written")
