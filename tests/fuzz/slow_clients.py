"""Clients that are slow on purpose, beside good ones whose latency is measured.

`python -m tests.fuzz.slow_clients --bad 1000` starts a server, measures good clients alone, then
beside the bad ones, and prints both and when the last bad one was closed. Load is open-loop: a
request counts from the moment it was to be sent.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from tests.fuzz.running import RunningServer

#: How each kind begins; then one byte a second, or nothing at all.
EVENTS = b"POST /v0/events?name=energy_consumption HTTP/1.1\r\nHost: x\r\n"


class Kind(NamedTuple):
    """A way to be slow."""

    name: str
    begins: bytes
    trickles: bytes = b""


def kinds(authorization: bytes) -> list[Kind]:
    posting = EVENTS + authorization + b"Content-Length: 1000\r\n\r\n{"
    chunked = EVENTS + authorization + b"Transfer-Encoding: chunked\r\n\r\n"
    return [
        Kind("silent", b""),
        Kind("half a request line", b"GET /v0/dev"),
        Kind("half a head", b"GET /v0/devices/a HTTP/1.1\r\nHost: x\r\nX-A: "),
        Kind("a head byte by byte", b"GET /health HTTP/1.1\r\nX-A: ", b"a"),
        Kind("headers byte by byte", b"GET /health HTTP/1.1\r\n", b"X: a\r\n"),
        Kind("line ends byte by byte", b"", b"\r\n"),
        Kind("half a body", posting),
        Kind("a body byte by byte", posting, b" "),
        Kind("chunks byte by byte", chunked, b"1\r\n \r\n"),
        Kind("a chunk extension byte by byte", chunked + b"1;", b"a"),
        Kind(
            "a body nobody asked for, byte by byte",
            b"GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n",
            b"x",
        ),
        Kind("a second head byte by byte", b"GET /health HTTP/1.1\r\nHost: x\r\n\r\nGET ", b"/"),
        Kind("one answer, then silence", b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"),
    ]


async def seconds_until_closed(port: int, kind: Kind, delay: float, patience: float) -> float:
    """Be slow until the server has enough; returns after how long, or `patience`."""
    await asyncio.sleep(delay)
    incoming, outgoing = await asyncio.open_connection("127.0.0.1", port)
    began = time.monotonic()

    async def trickle() -> None:
        while kind.trickles:
            for place in range(len(kind.trickles)):
                await asyncio.sleep(1.0)
                outgoing.write(kind.trickles[place : place + 1])

    outgoing.write(kind.begins)
    trickling = asyncio.create_task(trickle())
    try:
        async with asyncio.timeout(patience):
            while await incoming.read(65_536):
                pass
    except (TimeoutError, ConnectionError):
        pass
    finally:
        trickling.cancel()
        await asyncio.gather(trickling, return_exceptions=True)
        outgoing.transport.abort()
    return time.monotonic() - began


def be_slow(port: int, authorization: bytes, bad: int, patience: float) -> dict[str, float]:
    """Open so many slow connections within a second; returns when the last of a kind was closed."""
    all_kinds = kinds(authorization)

    async def open_all() -> list[float]:
        return await asyncio.gather(
            *(
                seconds_until_closed(port, all_kinds[n % len(all_kinds)], n / bad, patience)
                for n in range(bad)
            )
        )

    closed: dict[str, float] = {}
    for number, took in enumerate(asyncio.run(open_all())):
        name = all_kinds[number % len(all_kinds)].name
        closed[name] = max(took, closed.get(name, 0.0))
    return closed


async def good_latencies(server: RunningServer, seconds: float, per_second: int) -> list[float]:
    """Seconds each point read took, from its scheduled send; sent whatever the answers do."""
    request = b"GET /v0/devices/device_7 HTTP/1.1\r\nHost: x\r\n" + server.authorization + b"\r\n"
    free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    took: list[float] = []

    async def ask(scheduled_at: float) -> None:
        head = b""
        while not head:
            is_new = not free
            if is_new:
                incoming, outgoing = await asyncio.open_connection("127.0.0.1", server.port)
            else:
                incoming, outgoing = free.pop()
            outgoing.write(request)
            try:
                head = await incoming.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, ConnectionError):
                # Closed while it was idle: as every client does, ask on a new one.
                assert not is_new
                outgoing.transport.abort()
        assert head.startswith(b"HTTP/1.1 200 "), head
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        await incoming.readexactly(length)
        took.append(time.perf_counter() - scheduled_at)
        free.append((incoming, outgoing))

    began = time.perf_counter()
    asking = []
    for number in range(int(seconds * per_second)):
        at = began + number / per_second
        await asyncio.sleep(max(0.0, at - time.perf_counter()))
        asking.append(asyncio.create_task(ask(at)))
    await asyncio.gather(*asking)
    for _, outgoing in free:
        outgoing.transport.abort()
    return took


def p99(took: list[float]) -> float:
    return sorted(took)[int(len(took) * 0.99)]


class Siege(NamedTuple):
    """What a siege came to, in seconds."""

    alone: list[float]
    besieged: list[float]
    closed: dict[str, float]
    """Kind -> when the last of it was closed."""


async def besiege(
    server: RunningServer,
    bad: int,
    *,
    seconds: float = 15.0,
    per_second: int = 100,
    tell: Callable[[str], None] = lambda text: None,
) -> Siege:
    """Measure good clients alone, then beside so many bad ones of all kinds."""
    await good_latencies(server, 1.0, per_second)
    tell("good clients alone")
    alone = await good_latencies(server, seconds / 3, per_second)
    tell(f"beside {bad} bad ones")
    # In a process of their own: what they cost themselves is not the server's doing.
    with ProcessPoolExecutor(1, get_context("spawn")) as others:
        besieging = others.submit(be_slow, server.port, server.authorization, bad, seconds + 5)
        besieged = await good_latencies(server, seconds, per_second)
        closed = await asyncio.wrap_future(besieging)
    return Siege(alone, besieged, closed)


def main() -> int:
    """Run a siege; returns 0 if the good ones hardly noticed and the bad ones are gone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bad", type=int, default=1_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        server = RunningServer(
            Path(directory) / "home", FUZZ_DEVICES="1000", API_KEEP_ALIVE_SECONDS="10"
        )
        try:
            found = asyncio.run(
                besiege(server, arguments.bad, tell=lambda text: print(text, flush=True))
            )
        finally:
            server.stop()
    normal, under = p99(found.alone) * 1_000, p99(found.besieged) * 1_000
    for name, took in sorted(found.closed.items(), key=lambda each: each[1]):
        print(f"  closed after {took:5.1f} s: {name}")
    print(f"p99 of good clients: {normal:.1f} ms alone, {under:.1f} ms beside {arguments.bad} bad")
    print(f"all bad ones closed after {max(found.closed.values()):.1f} s")
    return 0 if under <= 2 * normal and max(found.closed.values()) <= 15 else 1


if __name__ == "__main__":
    sys.exit(main())
