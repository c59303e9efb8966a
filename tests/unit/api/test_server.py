"""The server as it stands on a socket: what goes over the wire, on real connections."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from starlette.responses import Response

from api.errors import StartRefused
from api.http.routing import DirectRoute
from api.listening import bind
from api.server import ApiServer
from api.settings import ApiSettings
from local_stack.ports import free_port
from tests.api_doubles import Caller, ScriptedPublisher, caller_for, filled_view
from tests.records import reading_value
from tests.waiting import until
from tests.wire import Wire, serving

ROW = reading_value()
LIMIT = 200_000


def publisher_of(wire: Wire) -> ScriptedPublisher:
    publisher = wire.services.publisher
    assert isinstance(publisher, ScriptedPublisher)
    return publisher


@pytest.fixture
async def wire(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Wire]:
    monkeypatch.setattr("api.http.connection.LINGER_SECONDS", 0.2)
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


@asynccontextmanager
async def stoppable(caller: Caller) -> AsyncIterator[tuple[Wire, asyncio.Task[int]]]:
    """Run a server as `energy api` does; a signal ends it."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = ApiServer(caller.app, listener)
    server._end_late = lambda: None  # type: ignore[method-assign]

    async def nothing_first() -> None:
        pass

    running = asyncio.create_task(server.run_until_stopped(nothing_first()))
    await until(lambda: server.started)
    yield Wire(caller, server, listener.getsockname()[1]), running


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
async def test_a_signal_ends_the_server_with_its_code(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    caller = caller_for(tmp_path, None)
    async with stoppable(caller) as (wire, running):
        wire.server.handle_exit(number, None)
        assert await running == code
    assert caller.services.is_stopping


def ask(wire: Wire, path: bytes) -> Awaitable[bytes]:
    return wire.exchange(b"GET %b HTTP/1.1\r\n%bConnection: close\r\n\r\n" % (path, wire.head))


@pytest.mark.parametrize("ends_by", ["the drain", "a second signal"])
async def test_b11_after_sigterm_all_is_served_while_balancers_see_that_it_ends(
    tmp_path: Path, ends_by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = await filled_view({"a": (5, 1)})
    caller = caller_for(tmp_path, view, drain_seconds=1.0 if ends_by == "the drain" else 600.0)
    async with stoppable(caller) as (wire, running):
        assert (await ask(wire, b"/ready")).startswith(b"HTTP/1.1 200 ")
        wire.server.handle_exit(signal.SIGTERM, None)
        ready = await ask(wire, b"/ready")
        assert ready.startswith(b"HTTP/1.1 503 ")
        assert b"the server is stopping" in ready
        assert (await ask(wire, b"/v0/devices/a")).startswith(b"HTTP/1.1 200 ")
        ticked = 0
        on_tick = wire.server.on_tick

        async def counted(counter: int) -> bool:
            nonlocal ticked
            ticked += 1
            return await on_tick(counter)

        monkeypatch.setattr(wire.server, "on_tick", counted)
        while ticked < 3:  # noqa: ASYNC110 - a stopping server would not tick on
            await asyncio.sleep(0.01)
        assert (await ask(wire, b"/v0/devices/a")).startswith(b"HTTP/1.1 200 ")
        assert not caller.services.is_stopping, "nobody gives up yet"
        if ends_by != "the drain":
            wire.server.handle_exit(signal.SIGTERM, None)
        assert await running == 0


async def test_c12_an_idle_connection_is_kept_for_as_long_as_it_is_set(tmp_path: Path) -> None:
    async with stoppable(caller_for(tmp_path, None, keep_alive_seconds=90)) as (wire, running):
        assert wire.server.config.timeout_keep_alive == 90
        wire.server.handle_exit(signal.SIGINT, None)
        await running
    assert ApiSettings(home=tmp_path).keep_alive_seconds == 75


async def test_b11_ctrl_c_waits_for_no_drain(tmp_path: Path) -> None:
    async with stoppable(caller_for(tmp_path, None, drain_seconds=600.0)) as (wire, running):
        wire.server.handle_exit(signal.SIGINT, None)
        assert await running == 130


async def test_b4_what_a_stop_cuts_short_is_told_so_and_who_does_not_read_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.server.GRACE_SECONDS", 0.1)
    monkeypatch.setattr("api.server.ANSWER_SECONDS", 0.2)
    begun = asyncio.Event()

    async def never(request: object) -> Response:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    async def large(request: object) -> Response:
        return Response(bytes(30_000_000))

    caller = caller_for(tmp_path, None)
    routes = [DirectRoute("/health", never), DirectRoute("/ready", large)]
    monkeypatch.setattr(caller.app.router, "routes", routes)
    async with stoppable(caller) as (wire, running):
        incoming, outgoing = await asyncio.open_connection("127.0.0.1", wire.port, limit=1)
        outgoing.write(b"GET /ready HTTP/1.1\r\n" + wire.head + b"\r\n")
        asked = asyncio.ensure_future(ask(wire, b"/health"))
        await begun.wait()
        wire.server.handle_exit(signal.SIGTERM, None)
        answer = await asked
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nretry-after: 1\r\n" in answer
        assert b"the server is stopping" in answer
        assert await running == 0
        outgoing.transport.abort()
        del incoming


@pytest.mark.parametrize("serves", [False, True])
async def test_a_server_ends_with_the_code_of_what_runs_beside_it(
    tmp_path: Path, serves: bool
) -> None:
    """As where a follower is refused, before anything is served and later."""
    caller = caller_for(tmp_path, await filled_view({}), port=free_port())
    served = asyncio.Event()

    async def first() -> None:
        if serves:
            served.set()
        else:
            await asyncio.Event().wait()

    async def beside() -> int:
        if serves:
            await served.wait()
        return 3

    with bind(caller.services.settings) as listener:
        server = ApiServer(caller.app, listener)
        assert await server.run_until_stopped(first(), beside()) == 3
