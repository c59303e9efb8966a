"""One connection: requests one after the other, whatever they come in, and how it ends."""

from __future__ import annotations

import asyncio
import logging
import random
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from api.errors import ApiError, ClientGone
from api.http.connection import TURN_BYTES
from api.http.framing import HEADER_BYTES, HEADERS, PATH_BYTES, QUERY_BYTES, check_head
from api.http.responses import StreamedAnswer
from tests.api_doubles import caller_for, filled_view
from tests.wire import Line, serving

HOST = b"Host: x\r\n"
GET = b"GET /%d HTTP/1.1\r\n" + HOST + b"\r\n"
POST = b"POST /%d HTTP/1.1\r\n" + HOST
BROKEN = POST % 0 + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n"


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the path and the body."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        body, more = body + message["body"], message["more_body"]
    answer = scope["path"].encode() + b"<" + body + b">"
    headers = [(b"content-length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


def answers(written: bytes) -> list[bytes]:
    return re.findall(rb"/\d<[^>]*>", written)


AHEAD = [
    GET % 1,
    POST % 2 + b"Content-Length: 8\r\n\r\na\r\n\r\nGET",
    POST % 3
    + b"Transfer-Encoding: chunked\r\n\r\n6\r\n\r\n\r\nab\r\n1;x\r\nc\r\n0\r\nT: t\r\n\r\n",
    GET % 4,
    POST % 5 + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    POST % 6 + b"Content-Length: 0\r\n\r\n",
    b"\r\n\r\n" + GET % 7,
]
EXPECTED = [
    b"/1<>",
    b"/2<a\r\n\r\nGET>",
    b"/3<\r\n\r\nabc>",
    b"/4<>",
    b"/5<{}>",
    b"/6<>",
    b"/7<>",
]


@pytest.mark.parametrize("seed", range(20))
async def test_b8_requests_sent_ahead_are_answered_in_order_however_they_come(seed: int) -> None:
    line = Line(echo)
    stream, source, pieces = b"".join(AHEAD), random.Random(seed), []
    while stream:
        size = source.choice((1, 2, 3, 50, 1_000))
        pieces.append(stream[:size])
        stream = stream[size:]
    await line.receive(*pieces)
    assert answers(line.written) == EXPECTED


async def test_b8_one_request_is_at_work_and_what_comes_behind_it_is_not_read() -> None:
    at_work = 0
    go_on = asyncio.Event()

    async def slow(*asgi: Any) -> None:
        nonlocal at_work
        at_work += 1
        await go_on.wait()
        await echo(*asgi)
        at_work -= 1

    line = Line(slow)
    await line.receive(b"".join(AHEAD) + GET[:10])
    assert (at_work, line.is_reading, line.written) == (1, False, b"")
    go_on.set()
    await line.settle()
    assert answers(line.written) == EXPECTED
    assert line.is_reading


async def test_b8_a_broken_body_behind_a_good_request_takes_nothing_from_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    line = Line(echo)
    await line.receive(GET % 1 + BROKEN)
    assert answers(line.written) == [b"/1<>"]
    assert line.calls == ["write_eof"]
    assert not caplog.records, "a stranger writes no lines"


async def test_b8_rubbish_behind_a_request_is_not_answered() -> None:
    """Who reads one answer too many may take it for the one to its next request."""
    line = Line(echo)
    await line.receive(GET % 1 + b"\x00" * 10)
    assert line.written.count(b"HTTP/1.1") == 1
    assert line.calls == ["write_eof"]


async def test_b8_a_broken_body_is_400_and_its_handler_ends() -> None:
    ended = asyncio.Event()

    async def handler(*asgi: Any) -> None:
        try:
            await echo(*asgi)
        except ClientGone:
            ended.set()

    line = Line(handler)
    await line.receive(BROKEN)
    assert line.written.startswith(b"HTTP/1.1 400 ")
    assert ended.is_set()


async def test_a_body_that_breaks_after_the_answer_has_begun_leaves_it_whole() -> None:
    async def early(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await receive()
        await send({"type": "http.response.body", "body": b"all"})

    line = Line(early)
    await line.receive(BROKEN[:-4])
    await line.receive(b"1\r\n \r\nZZ\r\n")
    assert line.written.endswith(b"3\r\nall\r\n0\r\n\r\n")
    assert line.calls == ["write_eof"]


CHUNKED = POST % 1 + b"Transfer-Encoding: chunked\r\n\r\n"
MANY = 6_000


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        pytest.param(
            CHUNKED + b"%x\r\n" % (4 * MANY) + b"\r\n\r\n" * MANY + b"\r\n0\r\n\r\n",
            b"/1<" + b"\r\n\r\n" * MANY + b">",
            id="line ends in a chunk",
        ),
        pytest.param(
            CHUNKED + b"1\r\nx\r\n" * MANY + b"0\r\n\r\n", b"/1<" + b"x" * MANY + b">", id="chunks"
        ),
        pytest.param(
            CHUNKED + b"1;" + b"a" * 4 * MANY + b"\r\nx\r\n0\r\n\r\n", b"/1<x>", id="extension"
        ),
        pytest.param(CHUNKED + b"0\r\n" + b"a:b\r\n" * MANY + b"\r\n", b"/1<>", id="trailers"),
        pytest.param(b"\r\n" * MANY + GET % 1, b"/1<>", id="lines before a request"),
        pytest.param((GET % 1)[:-2] + b"a:b\r\n" * MANY + b"\r\n", None, id="headers"),
    ],
)
async def test_f7_costly_bytes_are_parsed_a_bounded_part_in_a_turn(
    sent: bytes, answer: bytes | None
) -> None:
    line = Line(echo)
    turn, fed = 0, Counter[int]()
    feed = line.connection._feed

    def counted(data: bytes) -> None:
        fed[turn] += len(data)
        feed(data)

    line.connection._feed = counted  # type: ignore[method-assign]
    receiving = asyncio.create_task(line.receive(sent, GET % 2))
    while not receiving.done():
        await asyncio.sleep(0)
        turn += 1
        assert not (line.connection.transport.is_held and line.is_reading), (
            "more waits in the kernel"
        )
    await receiving
    assert max(fed.values()) <= TURN_BYTES
    if answer is None:
        assert line.written.startswith(b"HTTP/1.1 431 ")
    else:
        assert answers(line.written) == [answer, b"/2<>"]
        assert line.is_reading


async def test_f7_a_slow_handler_still_holds_reading_back_once_all_is_parsed() -> None:
    go_on = asyncio.Event()

    async def slow(*asgi: Any) -> None:
        await go_on.wait()
        await echo(*asgi)

    body = b"x" * 10 * TURN_BYTES
    line = Line(slow)
    await line.receive(CHUNKED + b"%x\r\n" % len(body) + body)
    assert len(line.connection.ahead) < len(b"\r\n\r\n"), "but for what may begin its end"
    assert not line.is_reading
    go_on.set()
    await line.receive(b"\r\n0\r\n\r\n")
    assert answers(line.written) == [b"/1<" + body + b">"]


async def test_f7_what_an_early_refusal_leaves_behind_is_dropped() -> None:
    line = Line(lambda *asgi: respond(403, *asgi))
    await line.receive(CHUNKED + b"1\r\nx\r\n" * MANY)
    assert line.written.startswith(b"HTTP/1.1 403 ")
    assert len(line.connection.ahead) > 4 * MANY, "not parsed"
    assert line.is_reading, "a reset would take the answer away"


async def test_f7_a_client_that_goes_meanwhile_ends_the_parsing() -> None:
    line = Line(echo)
    line.connection.data_received(CHUNKED + b"1\r\nx\r\n" * MANY)
    line.connection.connection_lost(None)
    failed: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failed.append(context))
    await line.settle()
    assert not failed


async def respond(status: int, scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


async def test_an_error_before_the_body_has_come_says_close_and_lets_the_client_finish() -> None:
    line = Line(lambda *asgi: respond(413, *asgi))
    await line.receive(POST % 1 + b"Content-Length: 1000\r\n\r\nabc")
    assert b"\r\nconnection: close\r\n" in line.written
    assert line.calls == ["write_eof"], "open for what still comes"
    await line.receive(b"x" * 500)
    assert line.written.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("status", [200, 422])
async def test_an_answer_to_a_whole_request_keeps_the_connection(status: int) -> None:
    line = Line(lambda *asgi: respond(status, *asgi))
    await line.receive(POST % 1 + b"Content-Length: 3\r\n\r\nabc", GET % 2)
    assert line.written.count(b"HTTP/1.1 %d" % status) == 2
    assert line.calls == []


@pytest.mark.parametrize("head", [b"", b"Connection: Upgrade\r\nUpgrade: h2c\r\n"])
async def test_c5_http_1_0_gets_no_chunks_but_all_to_the_close(head: bytes) -> None:
    async def pieces() -> Any:
        for _ in range(3):
            yield b"piece"

    line = Line(StreamedAnswer(pieces(), {}, "text/plain"))
    await line.receive(b"GET /1 HTTP/1.0\r\n" + head + b"\r\n")
    assert b"chunked" not in line.written
    assert line.written.endswith(b"connection: close\r\n\r\n" + b"piece" * 3)
    assert line.calls == ["close"]


async def test_c5_a_long_listing_is_the_same_in_both_versions(tmp_path: Path) -> None:
    view = await filled_view({f"device_{n}": (n, 1) for n in range(3_000)})
    caller = caller_for(tmp_path, view)
    async with serving(caller) as wire:
        target = b"GET /v0/pipes/energy_consumption_by_device.csv HTTP/1."
        old = await wire.exchange(target + b"0\r\n" + wire.head + b"\r\n")
        new = await wire.exchange(target + b"1\r\n" + wire.head + b"Connection: close\r\n\r\n")
    rows = old.partition(b"\r\n\r\n")[2]
    assert rows.count(b"\n") == 3_000
    # It is made before it is sent: its length is known, and nobody is given chunks.
    assert new.partition(b"\r\n\r\n")[2] == rows
    assert b"chunked" not in old + new


async def test_who_has_gone_is_told_by_send_and_logged_by_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    closed = asyncio.Event()

    async def pieces() -> Any:
        try:
            while True:
                yield b"piece"
                await asyncio.sleep(0)
        finally:
            closed.set()

    caplog.set_level(logging.DEBUG)
    line = Line(StreamedAnswer(pieces(), {}, "text/plain"))
    await line.receive(GET % 1)
    line.connection.connection_lost(ConnectionResetError())
    await closed.wait()
    await line.settle()
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_b17_refused_connections_that_are_still_open_are_few(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("api.http.connection.LINGERING", 2)
    line = Line(echo, connections=1)
    others = [Line(echo, line) for _ in range(4)]
    assert [each.calls for each in others] == [["write_eof"]] * 2 + [["close"]] * 2
    assert len(line.connection.connections) == 1 + 4, "until the transport says that it is closed"
    for each in others:
        await each.settle()
        assert each.written.startswith(b"HTTP/1.1 503 ")
        each.connection.connection_lost(None)
    assert not line.bounds.lingering
    await line.receive(GET % 1)
    assert answers(line.written) == [b"/1<>"]


async def test_b17_who_is_refused_takes_no_place_of_those_who_are_served() -> None:
    line = Line(echo, connections=1)
    await line.receive(b"no HTTP\r\n\r\n")
    other = Line(echo, line)
    await other.receive(GET % 1)
    assert answers(other.written) == [b"/1<>"]


@pytest.mark.parametrize("origins", ["*", "https://a.example"])
@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n", 414),
        (b"GET /1 HTTP/1.1\r\n" + HOST, 431),
        (POST % 1 + b"Transfer-Encoding: gzip\r\n", 400),
        (b"CONNECT x:443 HTTP/1.1\r\n" + HOST, 405),
    ],
)
async def test_c7_a_page_may_read_why_its_connection_was_refused(
    sent: bytes, status: int, origins: str
) -> None:
    from api.http.cors import Cors

    line = Line(echo, cors=Cors(origins))
    await line.receive(sent + b"Origin: https://a.example\r\n")
    await line.receive((b"X: a\r\n" * 100 if status == 431 else b"") + b"\r\n")
    assert line.written.startswith(b"HTTP/1.1 %d " % status)
    allowed = origins.encode()
    assert b"\r\naccess-control-allow-origin: %b\r\n" % allowed in line.written
    assert (b"\r\nvary: Origin\r\n" in line.written) == (origins != "*")


async def looks(line: Line, until: float, sent: bytes = b"") -> None:
    """Let the server look at it each half second, and the client send meanwhile."""
    for half_second in range(int(until * 2) + 1):
        if sent:
            await line.receive(sent)
        line.connection.look(half_second / 2)


@pytest.mark.parametrize(
    ("begins", "sent"),
    [
        (b"", b""),
        (b"", b"\r\n"),
        (GET % 1, b"\r\n"),
        (GET % 1 + b"GE", b""),
        (POST % 1 + b"Content-Length: 1000\r\n\r\n", b"x"),
        (POST % 1 + b"Content-Length: 1000\r\n\r\n", b""),
        (CHUNKED, b"1\r\nx\r\n"),
    ],
)
async def test_h39_who_sends_no_head_is_closed_whatever_else_it_sends(
    begins: bytes, sent: bytes
) -> None:
    line = Line(lambda *asgi: respond(200, *asgi))
    if begins:
        await line.receive(begins)
    await looks(line, 6.5, sent)
    assert line.calls == []
    line.connection.look(7.5)
    line.connection.look(8.0)
    assert line.calls == ["close"], "once, however long its last bytes take"


@pytest.mark.parametrize("before", [b"", GET % 1, CHUNKED + b"1\r\nx\r\n0\r\n\r\n"])
async def test_h39_a_head_that_trickles_is_408_and_bytes_do_not_lengthen_its_time(
    before: bytes,
) -> None:
    line = Line(echo)
    await line.receive(before + b"GET /2 HTTP/1.1\r\nX: ")
    await looks(line, 7.5, b"a")
    assert b"HTTP/1.1 408 " in line.written
    assert line.calls == ["write_eof"]


async def test_h39_a_handler_has_its_time_and_the_next_head_one_of_its_own() -> None:
    go_on = asyncio.Event()

    async def slow(*asgi: Any) -> None:
        await go_on.wait()
        await echo(*asgi)

    line = Line(slow)
    await looks(line, 6.5)
    await line.receive(GET % 1)
    await looks(line, 100)
    go_on.set()
    await line.settle()
    await line.receive(GET % 2, b"GET ")
    await looks(line, 6.5)
    assert answers(line.written) == [b"/1<>", b"/2<>"]
    assert line.calls == []


async def test_h39_each_of_many_heads_in_two_pieces_has_its_own_time() -> None:
    line = Line(echo)
    for second in range(20):
        await line.receive((GET % 1)[:9])
        line.connection.look(second)
        await line.receive((GET % 1)[9:])
    assert len(answers(line.written)) == 20
    assert line.calls == []


OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nUPGRADE: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"


@pytest.mark.parametrize("offer", [OFFER, OFFER.replace(b"h2c", b"websocket")])
async def test_an_offer_of_another_protocol_takes_no_body_and_no_next_request(
    offer: bytes,
) -> None:
    line = Line(echo)
    head = POST % 1 + offer + b"Content-Length: 12\r\n\r\n"
    await line.receive(head + b"\r\nupgrade: x" + GET % 2, head, b"\r\nupgrade: x")
    assert answers(line.written) == [b"/1<\r\nupgrade: x>", b"/2<>", b"/1<\r\nupgrade: x>"]
    assert line.calls == []


GOOD = [(b"host", b"x")]


@pytest.mark.parametrize(
    ("case", "error"),
    [
        (lambda: ("1.1", b"/" + b"a" * (PATH_BYTES - 1), GOOD), None),
        (lambda: ("1.1", b"/" + b"a" * PATH_BYTES, GOOD), "TooLongTarget"),
        (lambda: ("1.1", b"/?" + b"a" * QUERY_BYTES, GOOD), None),
        (lambda: ("1.1", b"/?" + b"a" * (QUERY_BYTES + 1), GOOD), "TooLongTarget"),
        (lambda: ("1.1", b"/", [*GOOD, (b"a", b"1" * HEADER_BYTES)]), "TooManyHeaders"),
        (lambda: ("1.1", b"/", [*GOOD, *[(b"a", b"1")] * HEADERS]), "TooManyHeaders"),
        (lambda: ("1.1", b"/", []), "BadRequest"),
        (lambda: ("1.0", b"/", []), None),
        (lambda: ("1.1", b"/", [*GOOD, *GOOD]), "BadRequest"),
        (lambda: ("1.2", b"/", GOOD), "BadRequest"),
        (lambda: ("1.1", b"/#a", GOOD), "BadRequest"),
        (lambda: ("1.1", b"/", [(b"host", b"a/b")]), "BadRequest"),
    ],
)
def test_h19_h33_h35_h36_a_large_or_odd_head_is_refused_by_its_kind(
    case: Callable[[], Any], error: str | None
) -> None:
    found = None
    try:
        check_head(*case())
    except ApiError as caught:
        found = type(caught).__name__
    assert found == error


async def test_h37_a_trailer_never_becomes_a_header_and_is_not_kept() -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        seen.extend(scope["headers"])
        await respond(200, scope, receive, send)

    line = Line(app)
    head = POST % 1 + b"Transfer-Encoding: chunked\r\n\r\n0\r\nAuthorization: Bearer x\r\n"
    await line.receive(head, b"\r\n")
    assert [name for name, _ in seen] == [b"host", b"transfer-encoding"]
    line = Line(app)
    await line.receive(head, *[b"X: a\r\n"] * (HEADERS + 2))
    assert len(line.connection.headers) <= 1, "nor kept"
    await line.receive(b"\r\n")
    assert line.written.startswith(b"HTTP/1.1 200 ")


async def test_h34_too_many_headers_are_refused_before_they_have_come() -> None:
    line = Line(echo)
    await line.receive((GET % 1)[:-2] + b"X: a\r\n" * (HEADERS + 1))
    assert line.written.startswith(b"HTTP/1.1 431 ")
