"""Large answers are received in one piece, on both event loops, plain and through TLS."""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import uvloop
from aiokafka.conn import AIOKafkaProtocol

from kafka_io.batches.large_responses import SMALL_BYTES, WAKE_BYTES, AnswerReader, receive_whole
from tests.certificates import Authority

Serve = Callable[[asyncio.StreamWriter], Awaitable[None]]
SIZES = (3, 5_000_000, SMALL_BYTES, SMALL_BYTES + 1, 100, WAKE_BYTES + SMALL_BYTES, 3_000_000, 1)

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, None]], None]:
    """Run a coroutine on one of the loops that the programs use, for ten seconds at most."""

    def to_its_end(work: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
            runner.run(asyncio.wait_for(work, 10))

    return to_its_end


class Connection:
    """What `receive_whole` takes of an AIOKafkaConnection, connected to a server of a test's."""

    def __init__(self, reader: asyncio.StreamReader, protocol: Any, writer: Any) -> None:
        self._reader = reader
        self._protocol = protocol
        self._writer = writer

    def connected(self) -> bool:
        return True

    async def answer(self) -> bytes:
        """As aiokafka reads: the length, then so much."""
        length = int.from_bytes(await self._reader.readexactly(4))
        return bytes(await self._reader.readexactly(length))

    @property
    def wakes_at(self) -> int:
        """Bytes for which the kernel wakes us; Linux."""
        connected = self._writer.transport.get_extra_info("socket")
        return int(connected.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT))


@asynccontextmanager
async def connect(
    serve: Serve, server_tls: ssl.SSLContext | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Connection]:
    """Begin as aiokafka does: an answer has been read before anyone asks for large ones."""

    async def served(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(framed(b"hello"))
        try:
            await serve(writer)
        finally:
            writer.close()

    server = await asyncio.start_server(served, "127.0.0.1", 0, ssl=server_tls)
    port = server.sockets[0].getsockname()[1]
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=2**16)
    protocol = AIOKafkaProtocol(loop.create_future(), reader, loop=loop)
    transport, _ = await loop.create_connection(
        lambda: protocol, "127.0.0.1", port, ssl=tls, server_hostname="127.0.0.1" if tls else None
    )
    connection = Connection(
        reader, protocol, asyncio.StreamWriter(transport, protocol, reader, loop)
    )
    assert await connection.answer() == b"hello"
    receive_whole(connection)  # type: ignore[arg-type]
    receive_whole(connection)  # type: ignore[arg-type]
    try:
        yield connection
    finally:
        transport.abort()
        server.close()
        await asyncio.sleep(0.05)  # both ends of the connection are closed in turns of the loop


def framed(answer: bytes) -> bytes:
    return len(answer).to_bytes(4) + answer


def answers() -> list[bytes]:
    source = random.Random(3)
    return [source.randbytes(size) for size in SIZES]


async def send_all(writer: asyncio.StreamWriter) -> None:
    """Everything at once, in pieces that end anywhere."""
    source = random.Random(4)
    rest = b"".join(framed(answer) for answer in answers())
    while rest:
        size = source.choice((1, 7, 4_000, 300_000, 2_000_000))
        writer.write(rest[:size])
        rest = rest[size:]
        await writer.drain()
        await asyncio.sleep(0)


def test_answers_come_whole_and_in_order(run: Callable[..., None]) -> None:
    async def work() -> None:
        async with connect(send_all) as connection:
            assert [await connection.answer() for _ in SIZES] == answers()

    run(work())


def test_answers_come_whole_through_tls(run: Callable[..., None], tmp_path: Path) -> None:
    authority = Authority(tmp_path, "ours")
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(authority.server("broker", "IP:127.0.0.1"))
    client = ssl.create_default_context(cafile=authority.ca_file)

    async def work() -> None:
        async with connect(send_all, server, client) as connection:
            assert [await connection.answer() for _ in SIZES] == answers()

    run(work())


def test_a_large_answer_goes_into_one_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    fed: list[int] = []
    feed = AnswerReader.feed_data

    def counted(self: AnswerReader, data: bytes) -> None:
        fed.append(len(data))
        feed(self, data)

    monkeypatch.setattr(AnswerReader, "feed_data", counted)

    async def send(writer: asyncio.StreamWriter) -> None:
        writer.write(framed(bytes(5_000_000)))
        await writer.drain()

    async def work() -> None:
        async with connect(send) as connection:
            assert await connection.answer() == bytes(5_000_000)
            assert sum(fed) <= 2 * SMALL_BYTES, (
                "only what came before its length was known is copied"
            )

    asyncio.run(work())


def test_the_kernel_wakes_us_for_much_at_once_and_for_little_afterwards() -> None:
    go_on, done = asyncio.Event(), asyncio.Event()

    async def send(writer: asyncio.StreamWriter) -> None:
        answer = framed(bytes(5_000_000))
        writer.write(answer[:1_000_000])
        await go_on.wait()
        writer.write(answer[1_000_000:-1000])
        await asyncio.sleep(0.2)
        writer.write(answer[-1000:] + framed(b"small"))
        await done.wait()  # the end of a connection would wake us too

    async def work() -> None:
        async with connect(send) as connection:
            assert connection.wakes_at == 1
            whole = asyncio.create_task(connection.answer())
            await asyncio.sleep(0.2)
            assert connection.wakes_at > SMALL_BYTES
            go_on.set()
            assert len(await whole) == 5_000_000
            assert connection.wakes_at == 1
            assert await connection.answer() == b"small"
            done.set()

    asyncio.run(asyncio.wait_for(work(), 10))


@pytest.mark.parametrize("sent", [0, 1000, 200_000])
def test_a_connection_that_ends_within_an_answer_is_an_error(
    run: Callable[..., None], sent: int
) -> None:
    async def send(writer: asyncio.StreamWriter) -> None:
        writer.write((300_000).to_bytes(4) + bytes(sent))
        await writer.drain()

    async def work() -> None:
        async with connect(send) as connection:
            with pytest.raises(asyncio.IncompleteReadError):
                await connection.answer()

    run(work())


def test_a_connection_that_is_reset_within_an_answer_is_an_error(
    run: Callable[..., None],
) -> None:
    async def send(writer: asyncio.StreamWriter) -> None:
        writer.write((300_000).to_bytes(4) + bytes(100_000))
        await asyncio.sleep(0.1)
        writer.transport.abort()

    async def work() -> None:
        async with connect(send) as connection:
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await connection.answer()

    run(work())


def test_what_is_not_connected_is_left_alone() -> None:
    receive_whole(None)
    receive_whole(SimpleNamespace(connected=lambda: False))  # type: ignore[arg-type]
