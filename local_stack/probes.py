"""Asks a server of ours how it is."""

from __future__ import annotations

import asyncio

_ANSWER_SECONDS = 2.0
_ASK_EVERY_SECONDS = 0.2


async def get(host: str, port: int, path: str) -> tuple[int, str]:
    """Return status and body of a GET; (0, "") when nobody answers."""
    request = f"GET {path} HTTP/1.0\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n"
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            incoming, outgoing = await asyncio.open_connection(host, port)
            try:
                outgoing.write(request.encode("ascii"))
                answer = await incoming.read(-1)
            finally:
                outgoing.close()
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split(b" ", 2)[1]), body.decode("utf-8", "replace")
    except (OSError, TimeoutError, ValueError, IndexError):
        return 0, ""


async def until_ok(host: str, port: int, path: str) -> None:
    """Return once a GET of the path is answered with 200."""
    while (await get(host, port, path))[0] != 200:  # noqa: ASYNC110 - nobody tells us
        await asyncio.sleep(_ASK_EVERY_SECONDS)
