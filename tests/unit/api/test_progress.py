"""A reader who takes anything steadily is served; who takes nothing is closed: B16."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any
from unittest.mock import Mock

import pytest
import uvloop
from uvicorn import Config
from uvicorn.server import ServerState

from api.errors import ClientGone
from api.http.connection import Connection
from api.http.write_coalescing import BYTES_PER_SECOND, Progress
from tests.wire import bounds_of

TIMEOUT = 20.0
LOOK_SECONDS = 0.5
KERNEL_STEP = 1_300_000


class Client:
    """The far end: acknowledges what the script says, at the times that it says."""

    def __init__(self, size: int) -> None:
        self.now = 0.0
        self.size, self.taken = size, 0
        self.cut_off_at: float | None = None
        self.transport = Mock()
        # The kernel takes more only when a third of its own buffer is free.
        self.transport.get_write_buffer_size = lambda: max(
            0, self.size - 4_000_000 - self.taken // KERNEL_STEP * KERNEL_STEP
        )
        self.transport.get_extra_info.return_value.getsockopt = self._tcp_info
        self.progress = Progress(TIMEOUT)

    def _tcp_info(self, *_: int) -> bytes:
        return bytes(120) + self.taken.to_bytes(8, "little")

    def read(self, size: int, every: float, until: float = 1e9) -> None:
        """Take so much each time, until all is sent, it is cut off or the time is over."""
        look_at, read_at = self.now, self.now + every
        while self.transport.get_write_buffer_size() and self.now < until:
            self.now = min(look_at, read_at)
            if read_at == self.now:
                read_at += every
                self.taken = min(self.size, self.taken + size)
            else:
                look_at += LOOK_SECONDS
                if self.progress.has_ended(self.transport, self.now):
                    self.cut_off_at = self.now
                    return


@pytest.mark.parametrize(
    ("size", "every"),
    [
        (BYTES_PER_SECOND, 1.0),
        (BYTES_PER_SECOND // 100, 0.01),
        # As the window of a slow reader on loopback opens: all at once, after long.
        (128_000, 12.8),
        (19 * BYTES_PER_SECOND, 19.0),
        (3_000_000, 5.0),
    ],
)
def test_b16_a_steady_reader_gets_an_answer_of_32_mb_whole(size: int, every: float) -> None:
    client = Client(32_000_000)
    client.read(size, every)
    assert client.cut_off_at is None
    assert client.taken >= 28_000_000, "the rest is the kernel's to send"


def test_b16_who_takes_nothing_is_cut_off_after_the_time_out() -> None:
    client = Client(32_000_000)
    client.read(0, 1.0)
    assert client.cut_off_at == TIMEOUT
    client = Client(32_000_000)
    client.read(1_000_000, 1.0, until=10.0)
    stopped_at = client.now
    client.read(0, 1.0)
    assert client.cut_off_at is not None
    assert stopped_at < client.cut_off_at <= stopped_at + TIMEOUT + 1, "nothing is saved up"


def test_b16_who_takes_a_byte_now_and_then_is_cut_off() -> None:
    client = Client(32_000_000)
    client.read(1, 1.0)
    assert client.cut_off_at is not None
    assert client.cut_off_at <= TIMEOUT + 1


def test_b16_time_without_an_answer_to_read_counts_for_nothing() -> None:
    client = Client(4_000_000 + KERNEL_STEP)
    client.read(KERNEL_STEP, 1.0)
    assert not client.progress.has_ended(client.transport, 2.0)
    client.size, client.now = 32_000_000, 1_000.0
    client.read(0, 1.0)
    assert client.cut_off_at == 1_000.0 + TIMEOUT


ANSWER = 8_000_000


async def whole(scope: Any, receive: Any, send: Any) -> None:
    headers = [(b"content-length", b"%d" % ANSWER)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": bytes(ANSWER)})


async def endless(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    with suppress(ClientGone):
        while True:
            await send({"type": "http.response.body", "body": bytes(65_536), "more_body": True})


async def read_slowly(app: Any, reading: bool) -> int:
    """Read an answer; returns how much of it came until the connection was closed."""
    loop = asyncio.get_running_loop()
    config = Config(app, interface="asgi3", log_config=None, proxy_headers=False, ws="none")
    state = ServerState()
    make = partial(
        Connection,
        bounds=bounds_of(send_timeout_seconds=0.2),
        config=config,
        server_state=state,
        app_state={},
    )
    server = await loop.create_server(make, "127.0.0.1", 0)
    received = 0

    async def look() -> None:
        while True:
            await asyncio.sleep(0.05)
            for connection in [*state.connections]:
                connection.look(loop.time())  # type: ignore[union-attr]

    looking = asyncio.create_task(look())
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64_000)
        client.setblocking(False)
        await loop.sock_connect(client, server.sockets[0].getsockname())
        await loop.sock_sendall(client, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        if not reading:
            await asyncio.sleep(0.6)
        try:
            while piece := await loop.sock_recv(client, 65_536):
                received += len(piece)
                await asyncio.sleep(0.005)
        except ConnectionResetError:
            pass
    looking.cancel()
    server.close()
    return received


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_b16_a_whole_answer_is_read_in_several_time_outs_or_cut_off_in_one(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def both() -> list[int]:
        return await asyncio.gather(
            read_slowly(whole, True), read_slowly(whole, False), read_slowly(endless, False)
        )

    with asyncio.Runner(loop_factory=new_loop) as runner:
        steady, silent, streamed = runner.run(asyncio.wait_for(both(), 15))
    assert steady > ANSWER
    assert silent < ANSWER
    assert streamed < 2 * ANSWER, "a stream that nobody reads has an end"
