"""The HTTP server on a socket of this process, and one connection of it spoken to by hand."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from unittest.mock import Mock

from uvicorn import Config
from uvicorn.server import ServerState

from api.errors import ClientGone
from api.http.connection import Bounds, Connection
from api.http.cors import Cors
from api.server import ApiServer
from tests.api_doubles import Caller
from tests.waiting import until


class Wire:
    """A running server, spoken to byte by byte."""

    def __init__(self, caller: Caller, server: ApiServer, port: int) -> None:
        self.services = caller.services
        self.server = server
        self.head = f"Host: x\r\nAuthorization: Bearer {caller.token}\r\n".encode()
        self.port = port

    async def exchange(self, *pieces: bytes) -> bytes:
        """Send pieces and return all that comes back until the server closes."""
        async with asyncio.timeout(10):
            incoming, outgoing = await asyncio.open_connection("127.0.0.1", self.port)
            try:
                for piece in pieces:
                    outgoing.write(piece)
                    await outgoing.drain()
                return await incoming.read()
            finally:
                outgoing.close()

    async def post(self, body: bytes, *more_head: bytes) -> bytes:
        head = b"POST /v0/events?name=energy_consumption HTTP/1.1\r\n" + self.head
        return await self.exchange(head + b"".join(more_head) + b"\r\n", body)


@asynccontextmanager
async def serving(caller: Caller) -> AsyncIterator[Wire]:
    """Serve on a port of its own until the block ends."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = ApiServer(caller.app, listener)
    task = asyncio.create_task(server._serve(sockets=[listener]))
    await until(lambda: server.started)
    try:
        yield Wire(caller, server, listener.getsockname()[1])
    finally:
        server.should_exit = True
        await task


def bounds_of(**bounds: Any) -> Bounds:
    """Wide bounds but for those that are given."""
    wide = {
        "connections": 100,
        "head_timeout_seconds": 7.0,
        "send_timeout_seconds": 20.0,
        "refused": lambda reason: None,
        "cors": Cors("*"),
    }
    return Bounds(**{**wide, **bounds})


class Line:
    """One connection over a transport that only keeps what is written to it."""

    def __init__(self, app: Any, beside: Line | None = None, **bounds: Any) -> None:
        self.server_state = beside.server_state if beside else ServerState()
        self.bounds = beside.bounds if beside else bounds_of(**bounds)
        self.written = b""
        self.is_reading = True
        self.calls: list[str] = []
        self.transport = Mock(asyncio.Transport)
        self.transport.write.side_effect = self._write
        self.transport.writelines.side_effect = lambda pieces: self._write(b"".join(pieces))
        self.transport.get_write_buffer_size.return_value = 0
        self.transport.is_closing.side_effect = lambda: "close" in self.calls
        self.transport.get_extra_info.return_value = None
        self.transport.pause_reading.side_effect = lambda: self._read(False)
        self.transport.resume_reading.side_effect = lambda: self._read(True)
        for name in ("close", "abort", "write_eof"):
            getattr(self.transport, name).side_effect = lambda name=name: self.calls.append(name)

        async def behind_front(scope: Any, receive: Any, send: Any) -> None:
            with suppress(ClientGone):
                await app(scope, receive, send)

        self.connection = Connection(
            bounds=self.bounds,
            config=Config(
                behind_front, interface="asgi3", log_config=None, proxy_headers=False, ws="none"
            ),
            server_state=self.server_state,
            app_state={},
            _loop=asyncio.get_running_loop(),
        )
        self.connection.connection_made(self.transport)

    def _write(self, data: bytes) -> None:
        assert "write_eof" not in self.calls
        self.written += data

    def _read(self, is_reading: bool) -> None:
        self.is_reading = is_reading

    async def receive(self, *pieces: bytes) -> None:
        """Let pieces come as they would: none while the server does not read."""
        for piece in pieces:
            async with asyncio.timeout(5):
                while not self.is_reading:  # noqa: ASYNC110 - turn by turn
                    await asyncio.sleep(0)
            self.connection.data_received(piece)
            assert not self.connection.pipeline, "two requests are parsed at once"
        await self.settle()

    async def settle(self) -> None:
        """Let what is at work go on until it waits for something."""
        for _ in range(100):
            await asyncio.sleep(0)
