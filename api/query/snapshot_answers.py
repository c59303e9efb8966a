"""Answers from a view: each from one snapshot, made by a few threads, within bounds.

A scan may take seconds, so it has no place on the event loop. A thread makes an answer from begin
to end and hands it on piece by piece; short ones stay in memory, longer ones go to a file
(api/http/long_responses.py), whose bounds hold here: answers that wait, are made or are read,
and how many are made at a time; of each at most half for one token, beyond that 503.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from starlette.responses import Response

from api.http.allowance import Budget
from api.http.long_responses import AnswerFile, LongAnswers
from api.http.responses import StreamedAnswer, no_pieces
from api.query.formats.catalogue import Format
from api.query.pieces import pieces
from api.query.table import Table

#: How often a thread that waits for the event loop looks whether anybody still wants its answer.
LOOK_SECONDS = 0.1

Shown = TypeVar("Shown")
Seen_contra = TypeVar("Seen_contra", contravariant=True)
Shown_co = TypeVar("Shown_co", covariant=True)


class Query(Protocol[Seen_contra]):
    """What is asked of a snapshot; equal ones have equal answers."""

    @property
    def table(self) -> Table:
        """The columns of the rows."""

    def slices(self, snapshot: Seen_contra) -> Generator[Any, None, int]:
        """Yield rows and return how many there are before offset and limit. Raises: ApiError."""


class Source(Protocol[Shown_co]):
    """A view that is served."""

    def snapshot(self) -> AbstractContextManager[Shown_co]:
        """Hold it as it is now; in any thread, but in one from begin to end."""


class SnapshotAnswers(Generic[Shown]):
    """Answers what is asked of a view, in every format."""

    def __init__(
        self,
        directory: Path,
        disk: Budget,
        *,
        what: str,
        answers: int,
        makers: int,
        has_read_all: bool,
    ) -> None:
        """Keep where long answers are made, and the bytes they may take.

        At a time `answers` wait, are made or are read, and `makers` are made, each by a thread.
        `has_read_all`: an answer has read all rows, not only the ones it shows.
        """
        self._has_read_all = has_read_all
        self._answers = LongAnswers(directory, disk, what=what, answers=answers, makers=makers)
        self._threads = ThreadPoolExecutor(makers, what)

    async def answer(
        self,
        token_name: str,
        query: Query[Shown],
        source: Source[Shown],
        form: Format,
        headers: Mapping[str, str],
        *,
        began_at: float,
        is_head: bool = False,
    ) -> Response:
        """Answer with the rows asked for. Raises: ApiError."""
        if is_head:
            return StreamedAnswer(no_pieces(), headers, form.media_type)

        def made(is_wanted: Callable[[], bool]) -> Iterator[bytes]:
            with source.snapshot() as snapshot:
                slices, writer = query.slices(snapshot), form.writer(query.table)
                for piece in pieces(slices, writer, began_at, has_read_all=self._has_read_all):
                    yield piece
                    if not is_wanted():
                        return

        asked = (source, form.writer, type(query), query)
        make = partial(self._make, made)
        return await self._answers.answer(token_name, asked, make, headers, form.media_type)

    async def _make(
        self, made: Callable[[Callable[[], bool]], Iterator[bytes]], file: AnswerFile
    ) -> None:
        """Let a thread make an answer; it has ended when this returns, whatever happens."""
        loop = asyncio.get_running_loop()
        is_left = threading.Event()

        async def put(piece: bytes) -> None:
            if not is_left.is_set():
                await file.write(piece)

        def work() -> None:
            for piece in made(lambda: not is_left.is_set()):
                if piece:
                    written = asyncio.run_coroutine_threadsafe(put(piece), loop)
                    _wait(written, is_left)

        working = loop.run_in_executor(self._threads, work)
        try:
            await asyncio.shield(working)
        except asyncio.CancelledError:
            is_left.set()
            # Only then may the next one begin: no more threads are at work than there are turns.
            await asyncio.wait([working])
            raise


def _wait(written: Future[None], is_left: threading.Event) -> None:
    """Return once a piece is written, or nobody waits for it. Raises: what writing raises."""
    while not is_left.is_set():
        try:
            return written.result(LOOK_SECONDS)
        except TimeoutError:
            if written.done():
                raise
    written.cancel()
