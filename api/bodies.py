"""Receiving a body whole: counted, inflated and checked as it comes, spooled when it is large.

Guarantees: no byte beyond a limit is kept; all bodies together stay within one budget; a body
that is cut off, too large, unreadable or not UTF-8 never becomes a Body, so nothing of it can
be written anywhere.
"""

from __future__ import annotations

import asyncio
import codecs
import mmap
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from api.errors import BadRequest, BodyTooLarge, Busy, ClientGone, RequestTimeout
from api.inflate import inflater
from api.settings import ApiSettings

#: Larger bodies are kept in a file.
MEMORY_BYTES = 1024 * 1024
#: A body comes at least this fast, or is given up.
BYTES_PER_SECOND = 10_000
#: After so many inflated bytes other tasks get their turn.
_TURN_BYTES = 1024 * 1024
#: What making a piece costs, as inflated bytes: it may be the nothing in a thousand members.
_PIECE_BYTES = 256 * 1024

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class BodyBudget:
    """Bytes that all bodies in flight may have together."""

    def __init__(self, limit_bytes: int) -> None:
        """Begin with nothing taken."""
        self._limit = limit_bytes
        self.taken_bytes = 0

    def take(self, count: int) -> None:
        """Take bytes. Raises: Busy if there are not so many left."""
        if self.taken_bytes + count > self._limit:
            raise Busy("too many bodies are in flight; try again in a second")
        self.taken_bytes += count

    def give_back(self, count: int) -> None:
        """Give bytes back."""
        self.taken_bytes -= count


class Body:
    """A body as it grows, and then as a whole; a context manager that lets go of it."""

    def __init__(self, budget: BodyBudget, spool_directory: Path) -> None:
        """Begin empty."""
        self._budget = budget
        self._directory = spool_directory
        self._pieces: list[bytes] = []
        self._file: IO[bytes] | None = None
        self._map: mmap.mmap | None = None
        self._characters = codecs.getincrementaldecoder("utf-8")()
        self.size = 0

    def add(self, piece: bytes) -> None:
        """Append. Raises: Busy, BadRequest where it is not UTF-8."""
        self._budget.take(len(piece))
        self.size += len(piece)
        self._check_characters(piece, final=False)
        if self._file is not None:
            self._file.write(piece)
            return
        self._pieces.append(piece)
        if self.size > MEMORY_BYTES:
            # Has no name: it is gone with the process, whatever happens.
            self._file = tempfile.TemporaryFile(dir=self._directory)  # noqa: SIM115 - __exit__
            self._file.writelines(self._pieces)
            self._pieces.clear()

    def whole(self) -> bytes | mmap.mmap:
        """Return all of it, once nothing more comes. Raises: BadRequest if it is not UTF-8."""
        self._check_characters(b"", final=True)
        if self._file is None:
            return b"".join(self._pieces)
        self._file.flush()
        self._map = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        return self._map

    def _check_characters(self, piece: bytes, *, final: bool) -> None:
        try:
            self._characters.decode(piece, final)
        except UnicodeDecodeError as error:
            place = max(0, self.size - len(error.object) + error.start)
            raise BadRequest(f"the body is not UTF-8 at byte {place}") from None

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let go of memory and file."""
        self._budget.give_back(self.size)
        self._pieces.clear()
        if self._map is not None:
            self._map.close()
        if self._file is not None:
            self._file.close()


async def receive_into(
    body: Body, receive: Receive, headers: Iterable[tuple[bytes, bytes]], settings: ApiSettings
) -> None:
    """Receive a request's body, inflated.

    Raises: BadRequest, BodyTooLarge, Busy, RequestTimeout, ClientGone.
    """
    headers = list(headers)
    length = next((value for name, value in headers if name == b"content-length"), None)
    if length is not None and length.isdigit() and int(length[:20]) > settings.max_body_bytes:
        raise _too_large(settings.max_body_bytes)
    codings = [value.decode("latin-1") for name, value in headers if name == b"content-encoding"]
    reader = inflater(codings)
    begun_at = time.monotonic()
    received = turn = 0
    more = True
    while more:
        patience = min(
            settings.body_timeout_seconds,
            begun_at
            + settings.body_timeout_seconds
            + received / BYTES_PER_SECOND
            - time.monotonic(),
        )
        try:
            async with asyncio.timeout(max(0.0, patience)):
                message = await receive()
        except TimeoutError:
            raise RequestTimeout(
                f"the body did not come: {received} bytes received; nothing was written"
            ) from None
        if message["type"] == "http.disconnect":
            raise ClientGone
        piece = message.get("body", b"")
        more = message.get("more_body", False)
        received += len(piece)
        if received > settings.max_body_bytes:
            raise _too_large(settings.max_body_bytes)
        for inflated in reader.feed(piece):
            if body.size + len(inflated) > settings.max_inflated_bytes:
                raise BodyTooLarge(
                    f"the body is larger than {settings.max_inflated_bytes} bytes inflated"
                )
            body.add(inflated)
            turn += len(inflated) + _PIECE_BYTES
            if turn > _TURN_BYTES:
                turn = 0
                await asyncio.sleep(0)
    reader.finish()


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"the body is larger than {limit} bytes; nothing was written")
