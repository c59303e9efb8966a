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
from typing import IO, BinaryIO, cast

from api.errors import SpoolUnusable

log = logging.getLogger("api.spool")

#: So much is kept in memory, and written in one go.
MEMORY_BYTES = 1024 * 1024


class Spool:
    """Bytes that grow; close it. After each `add`, `write_out` what is due."""

    def __init__(self, directory: Path) -> None:
        """Begin empty."""
        self._directory = directory
        self._pieces: list[bytes] = []
        self._file: IO[bytes] | None = None
        self._kept = 0
        self.size = 0

    def add(self, piece: bytes) -> None:
        """Append."""
        self._pieces.append(piece)
        self._kept += len(piece)
        self.size += len(piece)

    @property
    def is_due(self) -> bool:
        """Whether more is kept in memory than may be."""
        return self._kept > MEMORY_BYTES

    async def write_out(self) -> None:
        """Write what is kept to the file. Raises: SpoolUnusable."""
        pieces, self._pieces, self._kept = self._pieces, [], 0
        try:
            await asyncio.to_thread(self._write, pieces)
        except OSError as error:
            log.error("API_SPOOL_DIR %s cannot be written: %s", self._directory, error)
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise SpoolUnusable(
                    "the disk of API_SPOOL_DIR is full; nothing was written, try again later"
                ) from None
            raise SpoolUnusable(
                "API_SPOOL_DIR cannot be written; nothing was written, the server's log says why"
            ) from None

    def in_memory(self) -> bytes | None:
        """Return all of it, None if it is in a file."""
        return b"".join(self._pieces) if self._file is None else None

    async def opened(self) -> BinaryIO:
        """Return all of it as a file that stands at its beginning. Raises: SpoolUnusable."""
        if self._file is None:
            return io.BytesIO(b"".join(self._pieces))
        await self.write_out()
        self._file.seek(0)
        return cast(BinaryIO, self._file)

    def close(self) -> None:
        """Let go of memory and file."""
        self._pieces.clear()
        if self._file is not None:
            # The kernel frees all its pages then: 30 ms for 100 MB.
            asyncio.get_running_loop().run_in_executor(None, self._file.close)

    def _write(self, pieces: list[bytes]) -> None:
        if self._file is None:
            self._file = self._made()
        self._file.writelines(pieces)
        self._file.flush()

    def _made(self) -> IO[bytes]:
        try:
            return tempfile.TemporaryFile(dir=self._directory)
        except FileNotFoundError:
            # Whoever sweeps old files away may take the directory too.
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            return tempfile.TemporaryFile(dir=self._directory)
