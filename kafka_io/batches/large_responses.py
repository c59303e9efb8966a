"""Large answers of a broker, received where they will be read.

asyncio's stream reader takes 256 KiB at a time into a new object, appends that to a buffer that
grows, and copies the whole: 8 MiB of records are 30 trips through the event loop, each of which
waits for the lock that the folding thread holds, and three copies with fresh pages for each.
Here the rest of an answer goes straight into one buffer, and the kernel is asked to wake us for
much of it at once.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import Any

from aiokafka.conn import AIOKafkaConnection

#: Bytes of what is received before anyone knows how much will come.
SMALL_BYTES = 64 * 1024
#: So much of a large answer is waited for before it is taken; the kernel allows for it.
WAKE_BYTES = 1024 * 1024


class AnswerReader(asyncio.StreamReader):
    """A stream reader that has large reads filled by its protocol."""

    #: What is still to come of a large read, or None.
    missing: memoryview | None = None
    _filled: asyncio.Future[None]
    _wake: socket.socket | None = None
    _wake_bytes = 1

    def wake_through(self, transport: asyncio.BaseTransport) -> None:
        """Wait for many bytes at once, where what the socket has is what the protocol gets."""
        if transport.get_extra_info("sslcontext") is None:
            self._wake = transport.get_extra_info("socket")

    async def readexactly(self, n: int) -> bytes:
        """Read n bytes. Raises: IncompleteReadError at the end of the stream."""
        if n <= SMALL_BYTES:
            return await super().readexactly(n)
        first = await self.read(n)
        if not first:
            raise asyncio.IncompleteReadError(first, n)
        answer = bytearray(n)
        answer[: len(first)] = first
        if len(first) < n:
            await self._fill(memoryview(answer)[len(first) :])
        return answer  # type: ignore[return-value]  # aiokafka wraps it in a BytesIO

    async def _fill(self, missing: memoryview) -> None:
        self._filled = asyncio.get_running_loop().create_future()
        self.missing = missing
        self._wake_at(min(WAKE_BYTES, len(missing)))
        try:
            await self._filled
        finally:
            self.missing = None
            self._wake_at(1)

    def received(self, count: int) -> None:
        """So much has been written to `missing`."""
        assert self.missing is not None
        missing = self.missing = self.missing[count:]
        if len(missing) < self._wake_bytes:
            self._wake_at(max(1, len(missing)))
        if not missing:
            self.missing = None
            if not self._filled.done():
                self._filled.set_result(None)

    def _wake_at(self, count: int) -> None:
        if self._wake is not None and count != self._wake_bytes:
            self._wake_bytes = count
            with suppress(OSError):  # closed meanwhile, or a system that has no such option
                self._wake.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, count)

    def feed_eof(self) -> None:
        """Nothing comes any more."""
        super().feed_eof()
        if self.missing is not None and not self._filled.done():
            self._filled.set_exception(asyncio.IncompleteReadError(b"", len(self.missing)))

    def set_exception(self, exc: Exception) -> None:
        """Nothing comes any more, and this is why."""
        super().set_exception(exc)
        if self.missing is not None and not self._filled.done():
            self._filled.set_exception(exc)


class AnswerProtocol(asyncio.BufferedProtocol):
    """Receives for a stream reader; all but receiving is still done by aiokafka's protocol."""

    def __init__(self, reader: AnswerReader, before: asyncio.Protocol) -> None:
        """Take over from the protocol before; uvloop asks no `asyncio.Protocol` for buffers."""
        self._reader = reader
        self._small = memoryview(bytearray(SMALL_BYTES))
        self.connection_lost = before.connection_lost  # type: ignore[method-assign]
        self.eof_received = before.eof_received  # type: ignore[method-assign]
        self.pause_writing = before.pause_writing  # type: ignore[method-assign]
        self.resume_writing = before.resume_writing  # type: ignore[method-assign]

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return what is missing of a large answer, or a small buffer."""
        return self._small if self._reader.missing is None else self._reader.missing

    def buffer_updated(self, nbytes: int) -> None:
        """So many bytes have come into what `get_buffer` returned."""
        if self._reader.missing is None:
            self._reader.feed_data(bytes(self._small[:nbytes]))
        else:
            self._reader.received(nbytes)


def receive_whole(connection: AIOKafkaConnection | None) -> None:
    """Have a connection's large answers received in one piece.

    Safe to call again; does nothing the second time, or where there is no connection yet.
    """
    if connection is None or not connection.connected():
        return
    reader: Any = connection._reader
    protocol: Any = connection._protocol
    writer: Any = connection._writer
    if isinstance(reader, AnswerReader):
        return
    reader.__class__ = AnswerReader
    transport = writer.transport
    reader.wake_through(transport)
    # uvloop chooses how to read when it begins to.
    transport.pause_reading()
    transport.set_protocol(AnswerProtocol(reader, protocol))
    transport.resume_reading()
