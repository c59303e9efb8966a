"""What is written in one turn of the loop leaves together, in its order, and never later."""

import asyncio
from unittest.mock import Mock

import pytest

from api.http.write_coalescing import SHORT_BYTES, JoinedWrites

HEAD, BODY = b"HTTP/1.1 200 OK\r\n\r\n", b"{}"
LONG = b"x" * (SHORT_BYTES + 1)


class Under:
    """The transport below: keeps what came, call by call."""

    def __init__(self) -> None:
        self.calls: list[bytes | str] = []
        self.mock = Mock(asyncio.Transport)
        self.mock.write.side_effect = self.calls.append
        self.mock.writelines.side_effect = lambda pieces: self.calls.append(b"".join(pieces))
        self.mock.is_closing.return_value = False
        self.mock.get_write_buffer_size.return_value = 5
        for name in ("close", "abort", "write_eof"):
            getattr(self.mock, name).side_effect = lambda name=name: self.calls.append(name)


@pytest.fixture
def under() -> Under:
    return Under()


@pytest.fixture
async def joined(under: Under) -> JoinedWrites:
    return JoinedWrites(under.mock, asyncio.get_running_loop())


async def test_head_and_body_of_one_turn_leave_in_one_call(
    under: Under, joined: JoinedWrites
) -> None:
    joined.write(HEAD)
    joined.write(BODY)
    assert under.calls == [HEAD + BODY]
    await asyncio.sleep(0)
    assert under.calls == [HEAD + BODY]


async def test_a_head_alone_leaves_with_the_turn(under: Under, joined: JoinedWrites) -> None:
    joined.write(HEAD)
    assert under.calls == []
    await asyncio.sleep(0)
    assert under.calls == [HEAD]


async def test_a_piece_of_a_long_body_leaves_at_once(under: Under, joined: JoinedWrites) -> None:
    joined.write(LONG)
    joined.write(HEAD)
    joined.write(LONG)
    joined.write(LONG)
    assert under.calls == [LONG, HEAD + LONG, LONG]


async def test_a_long_body_is_not_copied(under: Under, joined: JoinedWrites) -> None:
    joined.write(HEAD)
    joined.write(LONG)
    assert under.mock.writelines.call_args.args[0][1] is LONG


@pytest.mark.parametrize("end", ["close", "write_eof", "abort"])
async def test_nothing_overtakes_what_is_kept(under: Under, joined: JoinedWrites, end: str) -> None:
    joined.write(HEAD)
    getattr(joined, end)()
    await asyncio.sleep(0)
    assert under.calls == [HEAD, end]


async def test_a_connection_that_is_gone_is_not_written_to(
    under: Under, joined: JoinedWrites
) -> None:
    joined.write(HEAD)
    under.mock.is_closing.return_value = True
    await asyncio.sleep(0)
    assert under.calls == []
