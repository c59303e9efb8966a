"""`Idempotency-Key`: a body counts once, over retries, restarts, replicas and lost answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from api.idempotency import KEPT_SECONDS, SLOTS, KeyedWrites
from producer.settings import ProducerSettings
from tests.api_doubles import (
    Answer,
    Caller,
    ScriptedPublisher,
    caller_for,
    changelog_chunk,
    filled_view,
    transaction,
)
from tests.imports_double import MemoryImports
from tests.records import reading_value

ROW = reading_value()
BAD_ROW = b'{"timestamp": 5}'
MANY = 12_345


@pytest.fixture
def imports() -> MemoryImports:
    return MemoryImports()


class Clock:
    now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


ReplicaFactory = Callable[..., Caller]


@pytest.fixture
def replica_factory(tmp_path: Path, imports: MemoryImports, clock: Clock) -> ReplicaFactory:
    """`replica_factory()` gives one more API process over the same log."""
    made: list[Caller] = []

    def make(**overrides: Any) -> Caller:
        keys = overrides.get("idempotency_keys", 100_000)
        keyed = KeyedWrites(
            ProducerSettings(),
            keys,
            clock=clock,
            writer_of=imports.writer,  # type: ignore[arg-type]
        )
        made.append(caller_for(tmp_path / str(len(made)), None, keyed=keyed, **overrides))
        return made[-1]

    return make


@pytest.fixture
def caller(replica_factory: ReplicaFactory) -> Caller:
    return replica_factory()


async def send(caller: Caller, body: bytes, key: str = "a") -> Answer:
    return await caller.events(body, idempotency_key=key)


def rows(count: int) -> bytes:
    return b"\n".join(reading_value(f"device_{n}", str(n)) for n in range(count))


async def test_b14_the_same_body_twice_counts_once_and_is_answered_alike(
    caller: Caller, imports: MemoryImports
) -> None:
    body = ROW + b"\n" + BAD_ROW
    answers = [await send(caller, body) for _ in range(3)]
    assert {(answer.status, answer.body) for answer in answers} == {
        (202, b'{"successful_rows":1,"quarantined_rows":1}')
    }
    assert imports.values == [ROW]
    assert len(imports.refused) == 1
    text = caller.services.metrics.text().decode()
    assert 'api_rows_total{outcome="successful"} 1.0' in text


async def test_b14_the_key_with_another_body_is_422_and_writes_nothing(
    caller: Caller, imports: MemoryImports
) -> None:
    await send(caller, ROW)
    answer = await send(caller, ROW + b"\n")
    assert answer.status == 422
    assert "Idempotency-Key" in answer.error
    assert imports.values == [ROW]
    assert (await send(caller, ROW)).status == 202


async def test_b14_other_keys_are_other_bodies(caller: Caller, imports: MemoryImports) -> None:
    for key in ("a", "b", "A", "a" * 255):
        assert (await send(caller, ROW, key)).status == 202
    assert len(imports.values) == 4


async def test_b13_b14_without_a_key_nothing_is_kept(
    caller: Caller, imports: MemoryImports
) -> None:
    await caller.events(ROW)
    assert not imports.positions


async def test_b14_it_holds_over_a_restart_and_replicas(
    replica_factory: ReplicaFactory, imports: MemoryImports
) -> None:
    first, second = replica_factory(), replica_factory()
    for turn in range(20):
        # Every view of every slot is out of date as often as not.
        for caller in (first, second, first):
            assert (await send(caller, ROW, f"key{turn}")).status == 202
    assert len(imports.values) == 20
    restarted = replica_factory()
    for turn in range(20):
        assert (await send(restarted, ROW, f"key{turn}")).status == 202
        assert (await send(restarted, ROW + b" ", f"key{turn}")).status == 422
    assert len(imports.values) == 20


async def test_b14_many_at_once_count_once(
    replica_factory: ReplicaFactory, imports: MemoryImports
) -> None:
    callers = [replica_factory(), replica_factory()]
    answers = await asyncio.gather(
        *(send(callers[n % 2], ROW, f"key{n // 2 % 10}") for n in range(100))
    )
    assert {answer.status for answer in answers} == {202}
    assert len(imports.values) == 10


async def test_b14_a_lost_answer_is_504_and_sending_again_counts_once(
    caller: Caller, imports: MemoryImports
) -> None:
    imports.fates = ["lost"]
    answer = await send(caller, ROW)
    assert answer.status == 504
    assert answer.json()["unknown_rows"] == 1
    assert "same key" in answer.error
    again = await send(caller, ROW)
    assert (again.status, again.json()["successful_rows"]) == (202, 1)
    assert imports.values == [ROW]


async def test_b14_a_broken_off_body_goes_on_where_it_stopped(
    replica_factory: ReplicaFactory, imports: MemoryImports
) -> None:
    caller, other = replica_factory(), replica_factory()
    body = rows(MANY) + b"\n" + BAD_ROW
    imports.fates = ["", "gone"]
    broken = await send(caller, body)
    assert broken.status == 504
    assert 0 < broken.json()["successful_rows"] < MANY
    assert broken.json()["unknown_rows"] > 0
    imports.fates = ["refused"]
    assert (await send(other, body)).status == 504
    answer = await send(other, body)
    assert answer.json() == {"successful_rows": MANY, "quarantined_rows": 1}
    assert b"\n".join(imports.values) == rows(MANY)
    assert len(imports.refused) == 1
    assert max(imports.transactions) <= 5_000
    assert (await send(caller, body)).body == answer.body
    assert len(imports.values) == MANY


async def test_b14_refused_before_the_first_row_is_503(
    caller: Caller, imports: MemoryImports
) -> None:
    imports.fates = ["refused"]
    answer = await send(caller, ROW)
    assert answer.status == 503
    assert answer.headers["retry-after"]
    assert (await send(caller, ROW)).status == 202
    assert imports.values == [ROW]


async def test_b14_b25_without_a_broker_it_is_503(tmp_path: Path) -> None:
    keyed = KeyedWrites(ProducerSettings(), 10)
    caller = caller_for(tmp_path, None, ScriptedPublisher(is_away=True), keyed=keyed)
    assert (await send(caller, ROW)).status == 503


async def test_b14_a_key_is_forgotten_after_a_day(
    caller: Caller, imports: MemoryImports, clock: Clock
) -> None:
    await send(caller, ROW)
    clock.now += KEPT_SECONDS - 1
    assert (await send(caller, b"[]")).status == 422
    clock.now += 1
    assert (await send(caller, rows(2))).json()["successful_rows"] == 2
    assert (await send(caller, rows(2))).status == 202
    assert len(imports.values) == 3


async def test_b14_old_keys_are_removed_and_there_is_a_bound(
    replica_factory: ReplicaFactory, imports: MemoryImports, clock: Clock
) -> None:
    caller = replica_factory(idempotency_keys=SLOTS * 5)
    statuses = [(await send(caller, ROW, f"key{n}")).status for n in range(SLOTS * 20)]
    assert set(statuses) == {202, 503}
    assert sum(len(each) for each in imports.positions.values()) == SLOTS * 5
    clock.now += KEPT_SECONDS
    again = [(await send(caller, ROW, f"new{n}")).status for n in range(SLOTS)]
    assert 202 in again
    assert sum(len(each) for each in imports.positions.values()) < SLOTS * 5


async def test_b14_looking_for_old_keys_keeps_the_young_ones(
    caller: Caller, imports: MemoryImports, clock: Clock
) -> None:
    keys = [f"key{n}" for n in range(2 * SLOTS)]
    for key in keys:
        await send(caller, ROW, key)
    clock.now += KEPT_SECONDS // 2
    for key in keys:
        await send(caller, ROW, "later " + key)
    for key in keys:
        assert (await send(caller, ROW, key)).status == 202
    assert len(imports.values) == 2 * len(keys)


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "\xe9"])
async def test_b14_an_odd_key_is_400(caller: Caller, imports: MemoryImports, key: str) -> None:
    assert (await send(caller, ROW, key)).status == 400
    assert not imports.values


async def test_b14_two_keys_are_400(caller: Caller) -> None:
    headers = [
        (b"host", b"x"),
        (b"authorization", f"Bearer {caller.token}".encode()),
        (b"idempotency-key", b"a"),
        (b"idempotency-key", b"a"),
    ]
    answer = await caller.request(
        "POST", "/v0/events?name=energy_consumption", raw_headers=headers, body=ROW
    )
    assert answer.status == 400


async def test_b14_a_body_that_is_400_leaves_the_key_free(
    caller: Caller, imports: MemoryImports
) -> None:
    assert (await send(caller, b"[1")).status == 400
    assert (await send(caller, ROW)).status == 202
    assert imports.values == [ROW]


async def test_b14_no_row_at_all_is_kept_too(caller: Caller) -> None:
    assert (await send(caller, b"[]")).json() == {"successful_rows": 0, "quarantined_rows": 0}
    assert (await send(caller, ROW)).status == 422


async def test_wait_with_a_key_waits_for_the_ends_of_the_log(
    tmp_path: Path, imports: MemoryImports
) -> None:
    view = await filled_view({"device_1": (1, 1)}, applied_offset=4)
    keyed = KeyedWrites(
        ProducerSettings(),
        100,
        writer_of=imports.writer,  # type: ignore[arg-type]
    )
    caller = caller_for(tmp_path, view, keyed=keyed)
    waiting = asyncio.create_task(caller.events(ROW, "&wait=true", idempotency_key="a"))
    async with asyncio.timeout(5):
        while not imports.values:  # noqa: ASYNC110 - the double tells nobody
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        assert not waiting.done()
        caller.services.lag.saw({0: 7})
        await view.apply(changelog_chunk(transaction({"device_1": (9, 2)}, 5), start=2))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        await view.apply(changelog_chunk(transaction({"device_1": (9, 2)}, 6), start=4))
        assert (await waiting).status == 200
