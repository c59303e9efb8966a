"""The receiving end of the feed, in a process that reads the follower's copies."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from api.view.feed.picture import LENGTH_BYTES, Picture, length_in, picture_in

#: The follower sends each second; after so long it hangs, or is stopped.
SILENT_SECONDS = 10.0
#: What an address of a Unix socket may have everywhere.
_ADDRESS_BYTES = 100


class FeedLost(Exception):
    """Nobody sends how the views stand; the text says why."""


async def pictures(address: Path) -> AsyncIterator[Picture]:
    """Yield each picture, the first at once. Raises: FeedLost, sooner or later."""
    try:
        with short_address(address) as short:
            reader, writer = await asyncio.open_unix_connection(short)
        try:
            while True:
                async with asyncio.timeout(SILENT_SECONDS):
                    length = length_in(await reader.readexactly(LENGTH_BYTES))
                    content = await reader.readexactly(length)
                yield picture_in(content)
        finally:
            writer.transport.abort()
    except TimeoutError:
        raise FeedLost("the process that follows Kafka does not answer") from None
    except (OSError, asyncio.IncompleteReadError):
        raise FeedLost("the process that follows Kafka has ended; it is being restarted") from None
    except (msgspec.DecodeError, ValueError) as error:
        raise FeedLost(f"the process that follows Kafka is of another build: {error}") from None


async def first_picture(address: Path) -> None:
    """Return once the follower sends anything, however long that takes."""
    while True:
        try:
            async for _ in pictures(address):
                return
        except FeedLost:
            await asyncio.sleep(0.1)


@contextmanager
def short_address(path: Path) -> Iterator[str]:
    """Give a name of a Unix socket that is short enough for the system.

    A long one goes through a handle of its directory, where the system has names for those.
    """
    if len(os.fsencode(path)) <= _ADDRESS_BYTES:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
