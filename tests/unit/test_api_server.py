"""The server as it stands on a socket: what goes over the wire, on real connections."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from api.connection import Connection
from api.errors import StartRefused
from api.server import ApiServer, bind
from api.settings import ApiSettings
from tests.api_doubles import ScriptedPublisher, caller_for, filled_view
from tests.records import reading_value
from tests.wire import Wire, serving

ROW = reading_value()
LIMIT = 200_000


def publisher_of(wire: Wire) -> ScriptedPublisher:
    publisher = wire.services.publisher
    assert isinstance(publisher, ScriptedPublisher)
    return publisher


@pytest.fixture
async def wire(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Wire]:
    monkeypatch.setattr("api.connection.LINGER_SECONDS", 0.2)
    publisher = ScriptedPublisher()
    view = await filled_view({"a": (5, 1)})
    caller = caller_for(tmp_path, view, publisher, max_body_bytes=LIMIT, body_timeout_seconds=0.3)
    async with serving(caller) as wire:
        yield wire


async def test_a_row_is_written_over_the_wire(wire: Wire) -> None:
    answer = await wire.post(ROW, b"Connection: close\r\n", b"Content-Length: %d\r\n" % len(ROW))
    assert answer.startswith(b"HTTP/1.1 202 ")
    assert answer.endswith(b'{"successful_rows":1,"quarantined_rows":0}')


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_b1_who_sends_too_much_still_gets_to_read_the_413(
    wire: Wire, is_chunked: bool
) -> None:
    body = b" " * (LIMIT * 40)
    if is_chunked:
        framed = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        answer = await wire.post(framed, b"Transfer-Encoding: chunked\r\n")
    else:
        answer = await wire.post(body, b"Content-Length: %d\r\n" % len(body))
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"\r\nconnection: close\r\n" in answer


async def test_who_waits_for_a_go_ahead_is_refused_before_sending(wire: Wire) -> None:
    head = [b"Expect: 100-continue\r\n", b"Content-Length: %d\r\n" % (LIMIT + 1)]
    answer = await wire.post(b"", *head)
    assert answer.startswith(b"HTTP/1.1 413 ")


async def test_h40_half_a_body_is_given_up_and_writes_nothing(wire: Wire) -> None:
    answer = await wire.post(ROW, b"Content-Length: %d\r\n" % (len(ROW) + 5))
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert not publisher_of(wire).rows


async def test_an_answer_comes_in_one_piece(wire: Wire) -> None:
    incoming, outgoing = await asyncio.open_connection("127.0.0.1", wire.port)
    try:
        for _ in range(10):
            outgoing.write(b"GET /v0/devices/a HTTP/1.1\r\n" + wire.head + b"\r\n")
            piece = await incoming.read(LIMIT)
            assert piece.startswith(b"HTTP/1.1 200 ")
            assert piece.endswith(b'"readings":1}')
    finally:
        outgoing.close()


async def test_nothing_is_kept_of_an_answer_that_is_complete(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[int] = []
    complete = Connection.on_response_complete

    def noted(connection: Connection) -> None:
        complete(connection)
        kept.append(connection.transport.get_write_buffer_size())

    monkeypatch.setattr(Connection, "on_response_complete", noted)
    incoming, outgoing = await asyncio.open_connection("127.0.0.1", wire.port)
    try:
        for method in (b"HEAD", b"GET"):
            outgoing.write(method + b" /v0/devices/a HTTP/1.1\r\n" + wire.head + b"\r\n")
            assert (await incoming.read(LIMIT)).startswith(b"HTTP/1.1 200 ")
    finally:
        outgoing.close()
    assert kept == [0, 0], "a client is timed only where it has not read"


async def test_a_head_without_a_body_comes_before_the_next_answer(wire: Wire) -> None:
    target = b" /v0/devices/a HTTP/1.1\r\n" + wire.head + b"\r\n"
    answer = await wire.exchange(b"HEAD" + target + b"GET" + target + b"no HTTP\r\n\r\n")
    assert [line[9:12] for line in answer.split(b"\r\n") if line.startswith(b"HTTP/1.1")] == [
        b"200",
        b"200",
    ]
    assert answer.count(b'"readings":1}') == 1
    assert answer.endswith(b'"readings":1}')


async def test_two_requests_share_a_connection(wire: Wire) -> None:
    get = b"GET /v0/devices/a HTTP/1.1\r\n" + wire.head
    answer = await wire.exchange(get + b"\r\n" + get + b"Connection: close\r\n\r\n")
    assert answer.count(b"HTTP/1.1 200 OK") == 2


@pytest.mark.parametrize(
    "head",
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 100,
        b"GET /v0/devices/\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: x\r\nX-A: a\x00b\r\n\r\n",
        b"POST /v0/events HTTP/1.1\r\nHost: x\r\nContent-Length: +2\r\n\r\n{}",
        b"POST /v0/events HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n{}",
        b"POST /v0/events HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"POST /v0/events HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
async def test_h33_h38_what_is_no_http_is_400_or_closed(wire: Wire, head: bytes) -> None:
    answer = await wire.exchange(head)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 4"), answer[:100]
    assert not publisher_of(wire).rows


async def test_nothing_of_the_server_software_is_told(wire: Wire) -> None:
    answer = await wire.exchange(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert b"\r\nserver:" not in answer.lower()


def test_s1_a_port_in_use_is_refused_with_exit_code_2(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(StartRefused, match=str(port)) as caught:
            bind(ApiSettings(home=tmp_path, port=port))
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
async def test_a_signal_ends_the_server_with_its_code(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    caller = caller_for(tmp_path, None)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = ApiServer(caller.app, listener)

    async def nothing_first() -> None:
        pass

    running = asyncio.create_task(server.run_until_stopped(nothing_first()))
    while not server.started:  # noqa: ASYNC110 - uvicorn tells nobody
        await asyncio.sleep(0.01)
    server._end_late = lambda: None  # type: ignore[method-assign]
    server.handle_exit(number, None)
    async with asyncio.timeout(5):
        assert await running == code
    assert caller.services.is_stopping
