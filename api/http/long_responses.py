"""Long answers: made at full speed into a file, and sent from it at the pace of each reader.

Nothing of the view or of Kafka is held while somebody reads, and no long answer waits in memory. An
answer is made whole before its first byte is sent, so what fails while it is made is an error
and never half an answer. Requests of one token for the same thing share one that is not begun.

Bounds: answers asked for and being read, their bytes on disk, and how many are made at a time,
of each at most half for one token. All that are being made share one slice of the event loop's
turn.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable, Mapping
from contextlib import ExitStack
from pathlib import Path

from api.http.allowance import Budget, Slices, Turns
from api.http.responses import StreamedAnswer
from api.http.spool import Spool

#: Of each bound for one token.
SHARE = 0.5
#: Read, by a thread, and sent in one go: at the least pace of a reader a few seconds, so well
#: within its time-out; and each reader who waits holds so much.
PIECE_BYTES = 64 * 1024


class AnswerFile(Spool):
    """One answer, in a file that has no name: asked for, made or being read, and by how many."""

    task: asyncio.Task[None]
    readers = 0

    async def write(self, piece: bytes) -> None:
        """Add to the answer. Raises: Busy where it is too large, SpoolUnusable."""
        self.add(piece)
        await self.write_due()

    async def leave_to_readers(self) -> None:
        """Keep in memory what is one piece, and all else in the file. Raises: SpoolUnusable."""
        if self.size > PIECE_BYTES or self._file is not None:
            await self.write_out()

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Yield the answer; any number of readers, each at its own pace. Raises: OSError."""
        if self._file is None:
            yield self._joined()
            return
        for at in range(0, self.size, PIECE_BYTES):
            # Allocated here and not by the thread that reads: each thread's heap would keep what it
            # had when most readers waited, 20 MB for 40 of them.
            piece = memoryview(bytearray(PIECE_BYTES))
            count = await asyncio.to_thread(os.preadv, self._file.fileno(), [piece], at)
            yield bytes(piece[:count])


Make = Callable[[AnswerFile], Awaitable[None]]


class LongAnswers:
    """All long answers of a kind: at most `answers` at a time, `makers` of them being made."""

    def __init__(
        self, directory: Path, disk: Budget, *, what: str, answers: int, makers: int
    ) -> None:
        """Begin with none; `disk` is shared with other kinds, `what` names them in errors."""
        self._directory = directory
        self._disk = disk
        self._answers = Budget(answers, SHARE, what)
        self._turns = Turns(makers, SHARE)
        #: Lets others run; of all answers that are made, one continues in each turn of the loop.
        self.pause = Slices().turn
        #: Those not begun, by token and by what is asked for.
        self._waiting: dict[Hashable, AnswerFile] = {}

    async def answer(
        self,
        token_name: str,
        asked: Hashable,
        make: Make,
        headers: Mapping[str, str],
        media_type: str,
    ) -> StreamedAnswer:
        """Make an answer, or share one not begun yet, and return it ready to be sent.

        What it is made from is looked at after this call. Raises: Busy, SpoolUnusable, and what
        `make` raises.
        """
        with ExitStack() as held:
            held.enter_context(self._answers.hold(token_name, 1))
            key = (token_name, asked)
            file = self._join(key, token_name, make)
            held.callback(self._leave, key, file)
            # Shared: who goes away must not take it from the others.
            await asyncio.shield(file.task)
            return StreamedAnswer(
                file.pieces(),
                {**headers, "Content-Length": str(file.size)},
                media_type,
                held.pop_all(),
            )

    def _join(self, key: Hashable, token_name: str, make: Make) -> AnswerFile:
        file = self._waiting.get(key)
        if file is None:
            file = self._waiting[key] = AnswerFile(self._disk, token_name, self._directory)
            file.task = asyncio.create_task(self._make(key, token_name, file, make))
        file.readers += 1
        return file

    def _leave(self, key: Hashable, file: AnswerFile) -> None:
        """End what the last reader leaves."""
        file.readers -= 1
        if not file.readers:
            if self._waiting.get(key) is file:
                del self._waiting[key]
            file.task.cancel()
            file.close()

    async def _make(self, key: Hashable, token_name: str, file: AnswerFile, make: Make) -> None:
        async with self._turns.turn(token_name):
            # From here on it would be too old for who asks.
            del self._waiting[key]
            await make(file)
            await file.leave_to_readers()
