"""When `energy up` says ready, and what it prints then."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from local_stack.ports import free_port
from local_stack.probes import get
from local_stack.readiness import Place, until_ready
from local_stack.welcome import base_url, welcome

Pages = dict[str, tuple[int, str]]


@asynccontextmanager
async def server(pages: Pages) -> AsyncIterator[Place]:
    """Answers each path as `pages` says at that moment."""

    async def answer(incoming: asyncio.StreamReader, outgoing: asyncio.StreamWriter) -> None:
        path = (await incoming.readline()).split()[1].decode()
        status, body = pages.get(path, (404, ""))
        outgoing.write(f"HTTP/1.1 {status} X\r\nConnection: close\r\n\r\n{body}".encode())
        await outgoing.drain()
        outgoing.close()

    listening = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with listening:
        yield "127.0.0.1", listening.sockets[0].getsockname()[1]


def works_on(*partitions: int) -> tuple[int, str]:
    lines = [f'stream_app_applied_offset{{partition="{p}"}} -1.0' for p in partitions]
    return 200, "\n".join(["# HELP stream_app_applied_offset Applied offset.", *lines, ""])


async def test_nobody_there_is_no_error() -> None:
    assert await get("127.0.0.1", free_port(), "/ready") == (0, "")


@pytest.mark.parametrize(
    ("reason", "is_ready"),
    [("partition 1 waits: a batch is damaged", True), ("recovering from the changelog", False)],
)
async def test_x54_a_partition_that_is_set_aside_does_not_hold_back_a_start(
    reason: str, is_ready: bool
) -> None:
    status, page = works_on(0)
    page += 'stream_app_partition_waiting{partition="1"} 1.0\n'
    told = json.dumps({"ready": False, "reasons": [reason]})
    async with (
        server({"/metrics": (status, page), "/ready": (503, told)}) as worker,
        server({"/ready": (200, "")}) as api,
    ):
        done, _ = await asyncio.wait(
            [asyncio.create_task(until_ready(2, [worker], api))], timeout=1.0
        )
        assert bool(done) is is_ready


async def test_ready_needs_every_partition_every_worker_and_the_api() -> None:
    first: Pages = {"/metrics": works_on(0, 1), "/ready": (200, "")}
    second: Pages = {"/metrics": works_on(), "/ready": (503, "")}
    api: Pages = {"/ready": (503, "")}
    async with AsyncExitStack() as stack:
        places = [await stack.enter_async_context(server(pages)) for pages in (first, second, api)]
        ready = asyncio.create_task(until_ready(4, places[:2], places[2]))

        async def is_still_waiting() -> bool:
            done, _ = await asyncio.wait([ready], timeout=0.5)
            return not done

        assert await is_still_waiting()
        second["/metrics"] = works_on(2, 3)
        assert await is_still_waiting()
        second["/ready"] = (200, "")
        assert await is_still_waiting()
        api["/ready"] = (200, "")
        await asyncio.wait_for(ready, 5)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),
        ("::", "http://[::1]:8000"),
        ("::1", "http://[::1]:8000"),
        ("energy.example", "http://energy.example:8000"),
    ],
)
def test_the_url_is_one_that_a_client_can_use(host: str, url: str) -> None:
    assert base_url(host, 8000) == url


def test_the_text_holds_url_token_and_two_commands() -> None:
    text = welcome("http://127.0.0.1:8000", "et_secret")
    assert "URL    http://127.0.0.1:8000" in text
    assert "token  et_secret" in text
    assert "page   http://127.0.0.1:8000/ui/#token=et_secret" in text
    assert [line.split()[0] for line in text.splitlines() if line.startswith("curl")] == [
        "curl"
    ] * 2
