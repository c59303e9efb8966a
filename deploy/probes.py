"""Asks a server of ours whether it is well."""

from __future__ import annotations

import asyncio

_ANSWER_SECONDS = 2.0
_ASK_EVERY_SECONDS = 0.2


async def until_ok(host: str, port: int, path: str) -> None:
    """Return once a GET of the path is answered with 200."""
    while not await answers_ok(host, port, path):  # noqa: ASYNC110 - nobody tells us
        await asyncio.sleep(_ASK_EVERY_SECONDS)


async def answers_ok(host: str, port: int, path: str) -> bool:
    """Tell whether a GET of the path is answered with 200; False also when nobody listens."""
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            incoming, outgoing = await asyncio.open_connection(host, port)
            try:
                request = f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n"
                outgoing.write(request.encode("ascii"))
                status_line = await incoming.readline()
            finally:
                outgoing.close()
    except (OSError, TimeoutError, ValueError):
        return False
    return status_line.split(b" ")[1:2] == [b"200"]
