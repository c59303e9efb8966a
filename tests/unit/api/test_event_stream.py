"""Streams over real sockets: what is on the wire, who does not read, who is cut off."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable, MutableMapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from api.auth.token_store import TokenStore
from api.http.event_stream import KEPT_BYTES, EventStream
from api.query.streams.feed import FIRST
from contract.settings import TOKENS_NAME
from tests.api_doubles import Caller, caller_for, changelog_chunk, filled_view, transaction
from tests.streams import Event, Parser
from tests.waiting import until
from tests.wire import Wire, serving

STREAM = b"/v0/pipes/energy_consumption_by_device/stream"


class Client:
    """A client that reads as it comes."""

    def __init__(self, incoming: asyncio.StreamReader, outgoing: asyncio.StreamWriter) -> None:
        self.incoming = incoming
        self.outgoing = outgoing
        self.head = b""
        self.parser = Parser()
        self.events: list[Event] = []

    async def read_head(self) -> bytes:
        self.head = (await self.incoming.readuntil(b"\r\n\r\n")).lower()
        return self.head

    async def read_chunk(self) -> bool:
        """Take in the next chunk; False at the end."""
        size = int(await self.incoming.readuntil(b"\r\n"), 16)
        chunk = await self.incoming.readexactly(size + 2)
        self.events += self.parser.feed(chunk[:-2])
        return size > 0

    async def until(self, is_so: Callable[[Event], bool], seconds: float = 5.0) -> Event:
        """Read until there is such an event, and return the first."""
        async with asyncio.timeout(seconds):
            while not (found := [event for event in self.events if is_so(event)]):
                assert await self.read_chunk(), "it ended"
            return found[0]

    async def to_the_end(self, seconds: float) -> None:
        async with asyncio.timeout(seconds):
            while await self.read_chunk():
                pass


@asynccontextmanager
async def streaming(
    wire: Wire, query: bytes = b"", more_head: bytes = b""
) -> AsyncIterator[Client]:
    incoming, outgoing = await asyncio.open_connection("127.0.0.1", wire.port)
    outgoing.write(b"GET " + STREAM + query + b" HTTP/1.1\r\n" + wire.head + more_head + b"\r\n")
    client = Client(incoming, outgoing)
    try:
        await client.read_head()
        yield client
    finally:
        outgoing.close()


async def write(caller: Caller, totals: dict[str, int], applied_offset: int) -> None:
    made = transaction({name: (total, 1) for name, total in totals.items()}, applied_offset)
    view = caller.services.live.view
    await view.apply(changelog_chunk(made))


def is_change(event: Event) -> bool:
    return event.name == "change"


async def test_a_browser_is_sent_events_as_they_come_and_resumes(tmp_path: Path) -> None:
    caller = caller_for(tmp_path, await filled_view({"a": (1, 1)}), end_offsets={0: 10})
    async with serving(caller) as wire:
        async with streaming(wire, b"?device_id=a") as client:
            assert client.head.startswith(b"http/1.1 200 ")
            for header in (
                b"content-type: text/event-stream; charset=utf-8",
                b"cache-control: no-store",
                b"x-accel-buffering: no",
                b"x-view-version: 1",
                b"access-control-allow-origin: *",
                b"transfer-encoding: chunked",
            ):
                assert b"\r\n" + header + b"\r\n" in client.head
            snapshot = await client.until(lambda event: event.name == "snapshot")
            assert [row["device_id"] for row in snapshot.data["rows"]] == ["a"]
            began_at = time.monotonic()
            await write(caller, {"a": 5}, 10)
            change = await client.until(is_change)
            assert time.monotonic() - began_at < 1
            assert change.data["rows"][0]["total_energy_consumed"] == 5
            await client.until(lambda event: event.name == "progress")
            assert client.events[0].name == "snapshot"
        await until(lambda: not caller.services.streams._feeds)
        last = b"Last-Event-ID: " + change.id.encode() + b"\r\n"
        async with streaming(wire, b"?device_id=a", last) as client:
            await client.until(lambda event: event.name == "progress")
            assert [event.name for event in client.events] == ["progress"]


async def test_changes_are_a_tick_apart_however_often_totals_change(tmp_path: Path) -> None:
    caller = caller_for(tmp_path, await filled_view({"a": (1, 1)}))
    async with serving(caller) as wire, streaming(wire) as client:
        ends_at, offset, came_at = time.monotonic() + 1.0, 10, []
        while time.monotonic() < ends_at:
            await write(caller, {"a": offset}, offset)
            offset += 1
            before = len([*filter(is_change, client.events)])
            while client.incoming._buffer:  # type: ignore[attr-defined]
                await client.read_chunk()
            if len([*filter(is_change, client.events)]) > before:
                came_at.append(time.monotonic())
            await asyncio.sleep(0.002)
        await client.until(
            lambda event: is_change(event) and event.id == f"1/0:{offset - 1}", seconds=2
        )
    assert 3 <= len([*filter(is_change, client.events)]) <= 11


async def test_a_reader_that_takes_nothing_is_closed_and_holds_little(tmp_path: Path) -> None:
    totals = {f"device_{n:05}": (n, 1) for n in range(30_000)}
    caller = caller_for(tmp_path, await filled_view(totals), send_timeout_seconds=1.0)
    async with serving(caller) as wire, streaming(wire, b"?device_id=device_00001") as good:
        silent = socket.socket()
        silent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        silent.connect(("127.0.0.1", wire.port))
        silent.sendall(b"GET " + STREAM + b" HTTP/1.1\r\n" + wire.head + b"\r\n")
        streams = caller.services.streams
        await until(lambda: len(streams._feeds) == 2)
        began_at = time.monotonic()
        held = 0
        while len(streams._feeds) == 2:
            for connection in wire.server.server_state.connections:
                size = connection.transport.get_write_buffer_size()  # type: ignore[union-attr]
                held = max(held, size)
            await asyncio.sleep(0.02)
            assert time.monotonic() - began_at < 5
        # The last event is larger than the first, which the kernels have taken.
        assert 0 < held <= KEPT_BYTES + 2 * FIRST * 150
        await write(caller, {"device_00001": -1}, 10)
        change = await good.until(is_change)
        assert change.data["rows"][0]["total_energy_consumed"] == -1
        silent.close()


async def test_an_event_is_asked_for_only_when_the_last_one_is_taken() -> None:
    """Else it would be old by the time it is sent."""
    is_taken, asked, took = asyncio.Event(), 0, []

    class Counted:
        async def next(self) -> bytes:
            nonlocal asked
            asked += 1
            return b"event" if asked < 3 else b""

        def took(self, seconds: float) -> None:
            took.append(seconds)

        def opened(self, connection: object) -> None:
            raise AssertionError("nobody listens here")

        def close(self) -> None:
            is_taken.set()

    was_written = False

    async def send(message: MutableMapping[str, Any]) -> None:
        nonlocal was_written
        if was_written:
            # As uvicorn: the message after the one that filled the buffer waits.
            await is_taken.wait()
        was_written = bool(message.get("body"))

    answer = EventStream(Counted(), {}, 20.0)
    sending = asyncio.create_task(answer({}, None, send))  # type: ignore[arg-type]
    for _ in range(10):
        await asyncio.sleep(0)
    assert (asked, took) == (1, [])
    is_taken.set()
    await sending
    assert (asked, len(took)) == (3, 2)


async def test_the_kernel_keeps_little_for_a_reader_and_notices_one_that_vanished(
    tmp_path: Path,
) -> None:
    caller = caller_for(tmp_path, await filled_view({"a": (1, 1)}), send_timeout_seconds=3.0)
    async with serving(caller) as wire, streaming(wire) as client:
        await client.until(lambda event: event.name == "snapshot")
        [connection] = wire.server.server_state.connections
        side = connection.transport.get_extra_info("socket")  # type: ignore[union-attr]
        assert side.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) == KEPT_BYTES
        assert side.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 3_000


async def test_h_a_stream_too_many_is_503(tmp_path: Path) -> None:
    caller = caller_for(tmp_path, await filled_view({"a": (1, 1)}), max_streams=2)
    async with serving(caller) as wire, streaming(wire), streaming(wire) as second:
        async with streaming(wire) as third:
            assert third.head.startswith(b"http/1.1 503 ")
            assert b"\r\nretry-after: 1\r\n" in third.head
        second.outgoing.close()
        await until(lambda: len(caller.services.streams._feeds) == 1)
        async with streaming(wire) as third:
            assert third.head.startswith(b"http/1.1 200 ")


async def test_h_streams_of_a_revoked_token_end_within_5_s(tmp_path: Path) -> None:
    caller = caller_for(tmp_path, await filled_view({"a": (1, 1)}))
    async with serving(caller) as wire:
        # By parameter, as EventSource has it.
        wire.head = b"Host: x\r\n"
        async with streaming(wire, f"?token={caller.token}".encode()) as client:
            assert client.head.startswith(b"http/1.1 200 ")
            TokenStore(caller.services.settings.home / TOKENS_NAME).revoke("test")
            await client.to_the_end(seconds=5)
        async with streaming(wire, f"?token={caller.token}".encode()) as client:
            assert client.head.startswith(b"http/1.1 403 ")


async def test_a_stop_ends_streams_at_once_and_says_when_to_come_again(tmp_path: Path) -> None:
    caller = caller_for(tmp_path, await filled_view({"a": (1, 1)}))
    async with serving(caller) as wire, streaming(wire) as client:
        await client.until(lambda event: event.name == "snapshot")
        wire.server.should_exit = True
        await client.to_the_end(seconds=2)
        assert len(client.parser.retries) == 2
        assert await client.incoming.read() == b""
