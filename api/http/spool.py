"""Bytes as they come: in memory while they are few, then in a file that has no name.

A file without a name is gone with the process, whatever happens. Files are written outside the
event loop: a kernel that holds up writers would hold up every request.
"""

from __future__ import annotations

import asyncio
import errno
import io
import logging
import tempfile
from pathlib import Path
from typing import IO, BinaryIO, ClassVar, Self, cast

from api.errors import SpoolUnusable
from api.http.allowance import Budget

log = logging.getLogger("api.http.spool")

#: So much is kept in memory, and written in one go.
MEMORY_BYTES = 1024 * 1024
#: Of all spools together; beyond, each is written to its file as it comes.
ALL_MEMORY_BYTES = 64 * MEMORY_BYTES


def unusable(directory: Path, error: OSError) -> SpoolUnusable:
    """Log why the directory cannot be used; returns what the client is told."""
    log.error("API_SPOOL_DIR %s cannot be written: %s", directory, error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return SpoolUnusable(
            "the disk of API_SPOOL_DIR is full; nothing was written, try again later"
        )
    return SpoolUnusable(
        "API_SPOOL_DIR cannot be written; nothing was written, the server's log says why"
    )


def made(directory: Path) -> IO[bytes]:
    """Return a new file without a name. Raises: OSError."""
    try:
        return tempfile.TemporaryFile(dir=directory)
    except FileNotFoundError:
        # Whoever sweeps old files away may take the directory too.
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return tempfile.TemporaryFile(dir=directory)


class Spool:
    """Bytes that grow, within a token's budget; a context manager that releases them."""

    #: Bytes that all of them keep in memory, or are writing.
    kept_by_all: ClassVar[int] = 0

    def __init__(self, budget: Budget, token_name: str, directory: Path) -> None:
        """Begin empty; its bytes count for the token."""
        self._budget = budget
        self._token = token_name
        self._directory = directory
        self._pieces: list[bytes] = []
        self._file: IO[bytes] | None = None
        self._taken = self._kept = 0
        self.size = 0
        self.is_closed = False

    def take(self, amount: int) -> None:
        """Take so much of the budget until it is closed. Raises: Busy."""
        self._budget.take(self._token, amount)
        self._taken += amount

    def add(self, piece: bytes) -> None:
        """Append; `write_due` follows. Raises: Busy."""
        self.take(len(piece))
        self._pieces.append(piece)
        self._kept += len(piece)
        Spool.kept_by_all += len(piece)
        self.size += len(piece)

    async def write_due(self) -> None:
        """Write to the file if more is kept than may be, of it or of all. Raises: SpoolUnusable."""
        if self._kept > (MEMORY_BYTES if Spool.kept_by_all <= ALL_MEMORY_BYTES else 0):
            await self.write_out()

    async def write_out(self) -> None:
        """Write what is kept to the file. Raises: SpoolUnusable."""
        pieces, self._pieces, kept, self._kept = self._pieces, [], self._kept, 0
        try:
            await asyncio.to_thread(self._write, pieces)
        except OSError as error:
            raise unusable(self._directory, error) from None
        finally:
            Spool.kept_by_all -= kept

    def in_memory(self) -> bytes | None:
        """Return all of it, None if it is in a file."""
        return self._joined() if self._file is None else None

    async def opened(self) -> BinaryIO:
        """Return all of it as a file that stands at its beginning. Raises: SpoolUnusable."""
        if self._file is None:
            return io.BytesIO(self._joined())
        await self.write_out()
        self._file.seek(0)
        return cast(BinaryIO, self._file)

    def close(self) -> None:
        """Release memory, file and budget, once."""
        self.is_closed = True
        self._budget.give_back(self._token, self._taken)
        Spool.kept_by_all -= self._kept
        self._taken = self._kept = 0
        self._pieces.clear()
        if self._file is not None:
            # The kernel frees all its pages then: 30 ms for 100 MB.
            asyncio.get_running_loop().run_in_executor(None, self._file.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _joined(self) -> bytes:
        """Return what is kept, kept once."""
        self._pieces = [b"".join(self._pieces)]
        return self._pieces[0]

    def _write(self, pieces: list[bytes]) -> None:
        if self._file is None:
            self._file = made(self._directory)
        self._file.writelines(pieces)
        self._file.flush()
