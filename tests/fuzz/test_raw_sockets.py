"""Requests byte by byte: what is no HTTP, what is too much of it, and what others read otherwise.

Each case is answered as BAD_INPUT says or closed, writes no row, and leaves the server serving.
"""

from __future__ import annotations

import json
import random

import pytest

from tests.fuzz.running import RunningServer, body_of, status
from tests.records import reading_value

ROW = reading_value()
HOST = b"Host: x\r\n"
GET = b"GET /health HTTP/1.1\r\n"
EVENTS = b"POST /v0/events?name=energy_consumption HTTP/1.1\r\n"
PIPE = b"/v0/pipes/energy_consumption_by_device.json"
#: RSS of a server that has seen all of this; what an allocator keeps is most of it.
MORE_BYTES = 20 * 1024 * 1024


def post(*headers: bytes, body: bytes = ROW) -> bytes:
    return EVENTS + HOST + b"AUTH" + b"".join(each + b"\r\n" for each in headers) + b"\r\n" + body


def get(*headers: bytes, target: bytes = b"/health", version: bytes = b"1.1") -> bytes:
    head = b"GET " + target + b" HTTP/" + version + b"\r\n" + HOST + b"Connection: close\r\n"
    return head + b"".join(each + b"\r\n" for each in headers) + b"\r\n"


NO_HTTP = {
    "h33-nul-in-a-header": get(b"X: a\x00b"),
    "h33-control-character-in-a-header": get(b"X: a\x01b"),
    "h33-cr-in-a-header": get(b"X: a\rb"),
    "h33-name-with-a-blank": get(b"X : a"),
    "h33-name-missing": get(b": a"),
    "h33-colon-missing": get(b"X a"),
    "h34-folded-header": get(b"X: a\r\n b"),
    "h34-first-header-folded": GET + b" Host: x\r\n\r\n",
    "h35-no-host": GET + b"Connection: close\r\n\r\n",
    "h36-two-hosts": GET + HOST + HOST + b"Connection: close\r\n\r\n",
    "h36-two-different-hosts": GET + HOST + b"Host: y\r\nConnection: close\r\n\r\n",
    "h36-host-with-a-blank": GET + b"Host: x y\r\nConnection: close\r\n\r\n",
    "h36-host-with-a-path": GET + b"Host: x/y\r\nConnection: close\r\n\r\n",
    "h37-length-and-chunked": post(
        b"Content-Length: 4", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"
    ),
    "h37-chunked-and-length": post(
        b"Transfer-Encoding: chunked", b"Content-Length: 5", body=b"0\r\n\r\n"
    ),
    "h37-two-lengths": post(b"Content-Length: 2", b"Content-Length: 3"),
    "h37-the-same-length-twice": post(b"Content-Length: 2", b"Content-Length: 2"),
    "h37-list-of-lengths": post(b"Content-Length: 2, 2"),
    "h37-length-plus": post(b"Content-Length: +2"),
    "h37-length-minus": post(b"Content-Length: -1"),
    "h37-length-hex": post(b"Content-Length: 0x2"),
    "h37-length-empty": post(b"Content-Length: "),
    "h37-length-of-30-digits": post(b"Content-Length: " + b"9" * 30),
    "h37-chunked-in-http-1.0": EVENTS.replace(b"1.1", b"1.0")
    + HOST
    + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "h37-coding-before-chunked": post(b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"),
    "h37-chunked-twice": post(b"Transfer-Encoding: chunked, chunked", body=b"0\r\n\r\n"),
    "h37-chunked-not-last": post(b"Transfer-Encoding: chunked, gzip", body=b"0\r\n\r\n"),
    "h37-almost-chunked": post(b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n"),
    "h37-chunk-size-no-hex": post(b"Transfer-Encoding: chunked", body=b"zz\r\n"),
    "h37-chunk-size-minus": post(b"Transfer-Encoding: chunked", body=b"-2\r\n{}\r\n0\r\n\r\n"),
    "h37-chunk-size-with-lf": post(b"Transfer-Encoding: chunked", body=b"2\n{}\r\n0\r\n\r\n"),
    "h37-chunk-too-long": post(b"Transfer-Encoding: chunked", body=b"2\r\n{}xx0\r\n\r\n"),
    "h37-chunk-size-of-20-digits": post(b"Transfer-Encoding: chunked", body=b"f" * 20 + b"\r\n"),
    "h38-http-0.9": b"GET /health\r\n\r\n",
    "h38-http-0.9-named": get(version=b"0.9"),
    "h38-http-2.0": get(version=b"2.0"),
    "h38-http-1.2": get(version=b"1.2"),
    "h38-http-2-preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "h38-tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),
    "h38-line-ends-lf": b"GET /health HTTP/1.1\nHost: x\n\n",
    "h38-method-in-lower-case": b"get /health HTTP/1.1\r\n" + HOST + b"\r\n",
    "h38-target-without-slash": get(target=b"health"),
    "h38-blank-in-the-target": get(target=b"/health x"),
    "h38-fragment-in-the-target": get(target=b"/health#x"),
    "h14-byte-ff-in-the-path": get(target=b"/v0/devices/\xff"),
    "h38-random-bytes": random.Random(1).randbytes(10_000),
    "h38-nothing-but-line-ends": b"\r\n" * 10 + b"x\r\n\r\n",
}


@pytest.mark.parametrize("case", NO_HTTP)
def test_h14_h33_h34_h35_h36_h37_h38_what_is_no_http_is_400_or_closed(
    server: RunningServer, case: str
) -> None:
    before = server.rows()
    answer = server.exchange(NO_HTTP[case].replace(b"AUTH", server.authorization))
    assert status(answer) in (0, 400), answer[:200]
    assert answer.count(b"HTTP/1.1 ") <= 1
    if answer:
        assert b"\r\nconnection: close\r\n" in answer.lower()
        assert set(json.loads(body_of(answer))) == {"error", "documentation"}
    assert server.rows() == before


TOO_MUCH = {
    "h19-path-of-64-kb": (get(target=b"/v0/devices/" + b"a" * 64_000), 414),
    "h19-path-of-1-mb": (get(target=b"/v0/devices/" + b"a" * 1_000_000), 414),
    "h19-path-without-an-end": (b"GET /" + b"a" * 10_000_000, 414),
    "h19-query-of-1-mb": (get(target=PIPE + b"?device_id=" + b"a" * 1_000_000), 414),
    "h33-header-of-1-mb": (get(b"X: " + b"a" * 1_000_000), 431),
    "h33-header-without-an-end": (GET + HOST + b"X: " + b"a" * 10_000_000, 431),
    "h33-name-of-1-mb": (get(b"X" * 1_000_000 + b": a"), 431),
    "h33-100-kb-of-headers": (get(*[b"X: " + b"a" * 2_000] * 50), 431),
    "h34-5000-headers": (get(*[b"X: a"] * 5_000), 431),
    "h34-headers-without-an-end": (GET + b"X: a\r\n" * 1_000_000, 431),
}


@pytest.mark.parametrize("case", TOO_MUCH)
def test_h19_h33_h34_too_large_a_head_is_refused_and_never_kept(
    server: RunningServer, case: str
) -> None:
    request, expected = TOO_MUCH[case]
    before = server.memory()
    answer = server.exchange(request)
    assert status(answer) == expected, answer[:200]
    assert json.loads(body_of(answer))["error"]
    assert server.memory() - before < MORE_BYTES


def test_h31_connect_is_405(server: RunningServer) -> None:
    answer = server.exchange(b"CONNECT x:443 HTTP/1.1\r\n" + HOST + b"\r\n")
    assert status(answer) == 405


@pytest.mark.parametrize("target", [b"%00", b"%ff%fe", b"%ED%A0%80", b"%ZZ", b"..", b"/", b"a//b"])
def test_h14_h15_h16_h17_odd_paths_are_no_device_and_no_redirect(
    server: RunningServer, target: bytes
) -> None:
    answer = server.get(b"/v0/devices/" + target)
    assert status(answer) in (400, 404)
    assert b"\r\nlocation:" not in answer.lower()


def test_h20_line_ends_in_a_path_make_no_header(server: RunningServer) -> None:
    answer = server.get(b"/v0/devices/%0d%0aX-Evil:y")
    assert status(answer) in (400, 404)
    assert b"\r\nX-Evil" not in answer
    assert b"\r\nx-evil" not in answer


def test_h32_a_body_on_get_is_dropped_and_the_connection_goes_on(server: RunningServer) -> None:
    body = b"x" * 1_000_000
    first = b"GET /health HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % len(body) + body
    answer = server.exchange(first + get())
    assert answer.count(b"HTTP/1.1 200 OK") == 2


def test_h37_a_broken_chunk_behind_good_ones_writes_nothing(server: RunningServer) -> None:
    before = server.rows()
    chunk = b"%x\r\n%b\r\n" % (len(ROW) + 1, ROW + b"\n")
    request = post(b"Transfer-Encoding: chunked", body=chunk * 10 + b"zz\r\n")
    answer = server.exchange(request.replace(b"AUTH", server.authorization))
    assert status(answer) == 400
    assert server.rows() == before


@pytest.mark.parametrize("is_chunked", [False, True])
@pytest.mark.parametrize("size", [10_000_001, 60_000_000])
def test_b1_b10_a_body_over_the_limit_is_413_and_never_kept(
    server: RunningServer, size: int, is_chunked: bool
) -> None:
    before = server.memory(), server.rows()
    body = b" " * size
    if is_chunked:
        framed = b"%x\r\n%b\r\n0\r\n\r\n" % (size, body)
        request = post(b"Connection: close", b"Transfer-Encoding: chunked", body=framed)
    else:
        request = post(b"Connection: close", b"Content-Length: %d" % size, body=body)
    answer = server.exchange(request.replace(b"AUTH", server.authorization))
    assert status(answer) == 413, answer[:200]
    assert server.rows() == before[1]
    assert server.memory() - before[0] < MORE_BYTES
