"""Long answers: what they hold while they are made and read, for whom, and what is given back."""

import asyncio
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

import api.query.by_device
import api.query.listing
from api.errors import Busy, NotFound
from api.http.allowance import Budget, Turns
from api.http.long_responses import PIECE_BYTES, AnswerFile, LongAnswers
from tests.api_doubles import Caller, caller_for, changelog_chunk, filled_view, transaction
from tests.waiting import until

PIPE = "/v0/pipes/energy_consumption_by_device"
NAMES = [f"device_{number:05}" for number in range(5_000)]


async def long_caller(tmp_path: Path, **settings: Any) -> Caller:
    return caller_for(tmp_path, await filled_view(dict.fromkeys(NAMES, (1, 1))), **settings)


class Gate:
    """A reader that takes nothing until it is let."""

    def __init__(self) -> None:
        self.is_asked = asyncio.Event()
        self.may_read = asyncio.Event()

    async def __call__(self) -> None:
        self.is_asked.set()
        await self.may_read.wait()


async def test_b15_a_slow_reader_of_a_listing_holds_nothing_of_the_view(tmp_path: Path) -> None:
    caller = await long_caller(tmp_path)
    view = caller.services.live.view
    assert view is not None
    gate = Gate()
    reading = asyncio.create_task(caller.request("GET", PIPE, before_send=gate))
    await gate.is_asked.wait()
    for turn in range(10, 15):
        change = transaction(dict.fromkeys([*NAMES, f"new_{turn}"], (turn, 2)), turn)
        await view.apply(changelog_chunk(change, start=turn * 10_000))
    assert view.copy._copy._snapshots == 0  # type: ignore[union-attr]
    assert caller.services.answers.taken > 100_000
    gate.may_read.set()
    answer = await reading
    assert [row["device_id"] for row in answer.json()["data"]] == NAMES
    assert {row["total_energy_consumed"] for row in answer.json()["data"]} == {1}
    assert int(answer.headers["content-length"]) == len(answer.body)
    assert caller.services.answers.taken == 0


async def test_one_token_has_half_of_the_listings_and_another_one_is_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.query.by_device.LISTINGS", 4)
    caller = await long_caller(tmp_path)
    gate = Gate()
    held = [
        asyncio.create_task(caller.request("GET", f"{PIPE}?offset={n}", before_send=gate))
        for n in range(2)
    ]
    await gate.is_asked.wait()
    refused = await caller.get(PIPE)
    assert (refused.status, refused.headers["retry-after"]) == (503, "1")
    assert (await caller.with_another_token().get(PIPE)).status == 200
    gate.may_read.set()
    assert [each.status for each in await asyncio.gather(*held)] == [200, 200]
    assert (await caller.get(PIPE)).status == 200


async def test_listings_asked_for_before_one_is_begun_are_made_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = []
    kept = api.query.listing.Query.slices
    monkeypatch.setattr(
        "api.query.listing.Query.slices",
        lambda query, totals: moments.append(totals) or kept(query, totals),
    )
    caller = await long_caller(tmp_path)
    answers = await asyncio.gather(*(caller.get(f"{PIPE}.csv") for _ in range(8)))
    assert len({answer.body for answer in answers}) == 1
    assert len(moments) == 1
    await asyncio.gather(caller.get(f"{PIPE}.csv"), caller.get(f"{PIPE}.csvwithnames"))
    assert len(moments) == 3
    assert caller.services.answers.taken == 0


async def test_b23_listings_are_made_by_a_few_threads_and_never_by_the_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: Counter[str] = Counter()
    at_work, most = 0, 0
    kept = api.query.listing.Query.slices

    def counting(query: Any, totals: Any) -> Any:
        nonlocal at_work, most
        threads[threading.current_thread().name] += 1
        at_work += 1
        most = max(most, at_work)
        rows = yield from kept(query, totals)
        at_work -= 1
        return rows

    monkeypatch.setattr("api.query.listing.Query.slices", counting)
    caller = await long_caller(tmp_path)
    others = caller.with_another_token()
    asked = [
        asyncio.create_task(each.get(f"{PIPE}?order_by={order}&offset={n}"))
        for each in (caller, others)
        for n in range(8)
        for order in ("-device_id", "total_energy_consumed")
    ]
    assert {(await each).status for each in asked} == {200}
    assert sum(threads.values()) == len(asked)
    assert threading.main_thread().name not in threads
    assert len(threads) <= api.query.by_device.MAKERS
    assert 1 <= most <= api.query.by_device.MAKERS


async def test_what_is_too_large_for_the_disk_is_503_and_given_back(tmp_path: Path) -> None:
    caller = await long_caller(tmp_path, max_answers_bytes=400_000)
    answer = await caller.get(PIPE)
    assert (answer.status, "bytes of long answers" in answer.error) == (503, True)
    assert caller.services.answers.taken == 0
    assert (await caller.get(f"{PIPE}?limit=2000")).status == 200


async def test_a_spool_directory_that_cannot_be_written_is_503(tmp_path: Path) -> None:
    caller = await long_caller(tmp_path)
    directory = caller.services.spool_directory
    directory.rmdir()
    directory.write_text("in its place")
    answer = await caller.get(PIPE)
    assert (answer.status, "API_SPOOL_DIR" in answer.error) == (503, True)
    assert caller.services.answers.taken == 0
    directory.unlink()
    assert (await caller.get(PIPE)).status == 200


def spool_of(tmp_path: Path) -> tuple[LongAnswers, Budget]:
    disk = Budget(100_000_000, 0.5)
    return LongAnswers(tmp_path, disk, what="answers", answers=100, makers=2), disk


def ask(
    spool: LongAnswers, token: str, asked: Any, make: Callable[[AnswerFile], Awaitable[None]]
) -> Any:
    return asyncio.create_task(spool.answer(token, asked, make, {}, "text/plain"))


async def test_who_leaves_takes_an_answer_from_nobody_and_the_last_one_ends_it(
    tmp_path: Path,
) -> None:
    spool, disk = spool_of(tmp_path)
    may_end = asyncio.Event()
    ended = []

    async def make(file: AnswerFile) -> None:
        try:
            await file.write(b"x" * (5 * PIECE_BYTES + 1))
            await may_end.wait()
        finally:
            ended.append(file)

    first, second = ask(spool, "a", 1, make), ask(spool, "a", 1, make)
    await until(lambda: disk.taken > 0)
    first.cancel()
    await asyncio.wait([first])
    assert not ended
    may_end.set()
    answer = await second
    assert len(ended) == 1
    assert [len(piece) async for piece in answer._pieces] == [PIECE_BYTES] * 5 + [1]
    answer._held.close()
    assert disk.taken == 0
    may_end.clear()
    alone = ask(spool, "a", 2, make)
    await until(lambda: disk.taken > 0)
    alone.cancel()
    await asyncio.wait([alone])
    await until(lambda: len(ended) == 2)
    assert disk.taken == 0
    assert spool._waiting == {}


async def test_an_answer_that_is_begun_is_not_shared_and_ends_no_other(tmp_path: Path) -> None:
    spool, disk = spool_of(tmp_path)
    begun: list[asyncio.Event] = []

    async def make(file: AnswerFile) -> None:
        begun.append(asyncio.Event())
        await begun[-1].wait()
        await file.write(b"%d" % len(begun))

    first = ask(spool, "a", 1, make)
    await until(lambda: len(begun) == 1)
    later = [ask(spool, "a", 1, make) for _ in range(2)]
    await asyncio.sleep(0)
    begun[0].set()
    first_answer = await first
    await until(lambda: len(begun) == 2)
    begun[1].set()
    for answer in (first_answer, *await asyncio.gather(*later)):
        answer._held.close()
    # A task that is ended before it ever ran.
    short_lived = ask(spool, "a", 2, make)
    await asyncio.sleep(0)
    short_lived.cancel()
    await asyncio.wait([short_lived])
    await until(lambda: not spool._waiting)
    assert disk.taken == 0


async def test_one_token_never_has_all_turns(tmp_path: Path) -> None:
    spool, _ = spool_of(tmp_path)
    forever = asyncio.Event()

    async def endless(_: AnswerFile) -> None:
        await forever.wait()

    async def short(file: AnswerFile) -> None:
        await file.write(b"x")

    greedy = [ask(spool, "greedy", n, endless) for n in range(20)]
    await asyncio.sleep(0)
    answer = await ask(spool, "other", 1, short)
    assert b"".join([piece async for piece in answer._pieces]) == b"x"
    answer._held.close()
    for each in greedy:
        each.cancel()
    await asyncio.wait(greedy)


async def test_what_fails_while_it_is_made_fails_for_all_who_wait(tmp_path: Path) -> None:
    spool, disk = spool_of(tmp_path)

    async def make(file: AnswerFile) -> None:
        await file.write(b"x")
        raise Busy("no")

    async def lost(file: AnswerFile) -> None:
        raise NotFound("here")

    for error, failing in ((Busy, make), (NotFound, lost)):
        asked = [ask(spool, "a", 1, failing) for _ in range(3)]
        results = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(each) for each in results] == [error] * 3
    assert disk.taken == 0


async def test_turns_of_tokens_that_are_gone_are_forgotten() -> None:
    turns = Turns(2, 0.5)
    for name in "abc":
        async with turns.turn(name):
            pass
    assert turns._by_token == {}
