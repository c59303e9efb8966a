"""Receiving a body whole: counted, inflated and checked as it comes, spooled when it is large.

Guarantees: no byte beyond a limit is kept; all bodies together stay within one budget, of which
a token has its share; a body that is cut off, too large, unreadable or not UTF-8 never becomes a
Body, so nothing of it can be written anywhere.
"""

from __future__ import annotations

import asyncio
import codecs
import mmap
from pathlib import Path
from typing import NamedTuple

from api.errors import BadRequest, BodyTooLarge
from api.http.allowance import Budget, Slices
from api.http.content_encoding import Inflater
from api.http.receiving import Headers, Receive, pieces_of
from api.http.spool import Spool
from api.settings import ApiSettings

#: After so many inflated bytes other tasks get their turn.
_TURN_BYTES = 1024 * 1024
#: What making a piece costs, as inflated bytes: it may be the nothing in a thousand members.
_PIECE_BYTES = 256 * 1024
#: How often pages of a body in a file are released; they stay in the kernel's cache.
_PAGES_SECONDS = 0.02


class Limits(NamedTuple):
    """How large a body may be as it comes and inflated, and how long its next bytes may take."""

    received_bytes: int
    inflated_bytes: int
    patience_seconds: float

    @classmethod
    def of(cls, settings: ApiSettings) -> Limits:
        """Return those of a body of events."""
        return cls(
            settings.max_body_bytes, settings.max_inflated_bytes, settings.body_timeout_seconds
        )


class Body(Spool):
    """A body as it grows, and then as a whole."""

    def __init__(self, budget: Budget, token_name: str, directory: Path) -> None:
        """Begin empty; its bytes count for the token."""
        super().__init__(budget, token_name, directory)
        self._map: mmap.mmap | None = None
        self._letting_go: asyncio.Task[None] | None = None
        self._characters = codecs.getincrementaldecoder("utf-8")()

    def add(self, piece: bytes) -> None:
        """Append; `write_due` follows. Raises: Busy, BadRequest where it is not UTF-8."""
        super().add(piece)
        self._check_characters(piece, final=False)

    async def finish(self) -> None:
        """Nothing more comes. Raises: SpoolUnusable, BadRequest if it is not UTF-8."""
        self._check_characters(b"", final=True)
        if self.in_memory() is None:
            file = await self.opened()
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            self._letting_go = asyncio.create_task(self._let_go_of_pages(self._map))

    async def _let_go_of_pages(self, mapped: mmap.mmap) -> None:
        """Keep a file that is read from its beginning to its end out of the process's memory."""
        while True:
            await asyncio.sleep(_PAGES_SECONDS)
            mapped.madvise(mmap.MADV_DONTNEED)

    def whole(self) -> bytes | mmap.mmap:
        """Return all of it, once it is finished."""
        return self._map if self._map is not None else self.in_memory() or b""

    def _check_characters(self, piece: bytes, *, final: bool) -> None:
        try:
            self._characters.decode(piece, final)
        except UnicodeDecodeError as error:
            place = max(0, self.size - len(error.object) + error.start)
            raise BadRequest(f"the body is not UTF-8 at byte {place}") from None

    def close(self) -> None:
        """Release it."""
        if self._letting_go is not None:
            self._letting_go.cancel()
        if self._map is not None:
            self._map.close()
        super().close()


async def receive_into(
    body: Body, receive: Receive, headers: Headers, limits: Limits, slices: Slices
) -> None:
    """Receive a request's body, inflated.

    Raises: BadRequest, BodyTooLarge, Busy, SpoolUnusable, RequestTimeout, ClientGone.
    """
    headers = list(headers)
    codings = [value.decode("latin-1") for name, value in headers if name == b"content-encoding"]
    reader = Inflater(codings)
    turn = 0
    async for piece in pieces_of(receive, headers, limits.received_bytes, limits.patience_seconds):
        for inflated in reader.feed(piece):
            if body.size + len(inflated) > limits.inflated_bytes:
                raise BodyTooLarge(
                    f"the inflated body is larger than {limits.inflated_bytes} bytes;"
                    " nothing was written"
                )
            body.add(inflated)
            await body.write_due()
            turn += len(inflated) + _PIECE_BYTES
            if turn > _TURN_BYTES:
                turn = 0
                await slices.turn()
    reader.finish()
    await body.finish()
