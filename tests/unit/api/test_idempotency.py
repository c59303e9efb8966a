"""`Idempotency-Key`: a body counts once, over retries, restarts, replicas and lost answers."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from api.auth.token_store import TokenStore
from api.ingest.idempotency import WRITERS, KeyedWrites
from api.ingest.keyed_body import DEAD_SECONDS, KEPT_SECONDS
from api.ingest.sending import MOST_REFUSED
from contract.key_notes import record_key
from contract.settings import TOKENS_NAME
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
from tests.clock import Clock
from tests.imports_double import MemoryImports, Transaction
from tests.records import reading_value
from tests.waiting import until

ROW = reading_value()
BAD_ROW = b'{"timestamp": 5}'
MANY = 12_345


@pytest.fixture
def imports() -> MemoryImports:
    return MemoryImports()


@pytest.fixture
def clock() -> Clock:
    return Clock(1_700_000_000.0)


ReplicaFactory = Callable[..., Caller]


@pytest.fixture
def replica_factory(
    tmp_path: Path, imports: MemoryImports, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> ReplicaFactory:
    """`replica_factory()` gives one more API process over the same log."""
    monkeypatch.setattr("api.ingest.keyed_body.DEAD_SECONDS", 0.1)
    monkeypatch.setattr("api.ingest.keyed_body._LOOK_SECONDS", 0.1)
    made: list[Caller] = []

    def make(**overrides: Any) -> Caller:
        keys = overrides.get("idempotency_keys", 100_000)
        patience = overrides.pop("patience", 5.0)
        keyed = KeyedWrites(
            ProducerSettings(delivery_timeout_seconds=patience),
            keys,
            clock=clock,
            keys=imports.keys(),  # type: ignore[arg-type]
            writer_of=imports.writer,  # type: ignore[arg-type,return-value]
        )
        made.append(caller_for(tmp_path / str(len(made)), None, keyed=keyed, **overrides))
        return made[-1]

    return make


@pytest.fixture
def caller(replica_factory: ReplicaFactory) -> Caller:
    return replica_factory()


async def send(caller: Caller, body: bytes, key: str = "a") -> Answer:
    return await caller.events(body, idempotency_key=key)


def another(caller: Caller) -> Caller:
    """The same server, asked with another token, "other"."""
    store = TokenStore(caller.services.settings.home / TOKENS_NAME)
    if "other" in {token.name for token in store.list()}:
        store.revoke("other")
    return Caller(caller.app, store.create("other", ["ADMIN"]))


def record_key_of(_: Caller, key: str) -> bytes:
    """The record of a key of `another`."""
    return record_key("other", "events", key)


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
    assert not imports.notes


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


async def test_b14_a_lost_acknowledgement_is_looked_up(
    caller: Caller, imports: MemoryImports
) -> None:
    imports.fates = ["lost"]
    answer = await send(caller, ROW)
    assert (answer.status, answer.json()["successful_rows"]) == (202, 1)
    imports.fates = ["gone"]
    assert (await send(caller, BAD_ROW, "b")).status == 202
    assert (imports.values, len(imports.refused)) == ([ROW], 1)


async def test_b14_a_lost_answer_is_504_and_sending_again_counts_once(
    replica_factory: ReplicaFactory, imports: MemoryImports
) -> None:
    caller = replica_factory(patience=0.0)
    imports.fates = ["lost"]
    answer = await send(caller, ROW)
    assert answer.status == 504
    assert answer.json()["unknown_rows"] == 1
    assert "same key" in answer.error
    again = await send(caller, ROW)
    assert (again.status, again.json()["successful_rows"]) == (202, 1)
    assert imports.values == [ROW]


def fails(*_: object) -> None:
    raise KafkaException(KafkaError(KafkaError._TIMED_OUT))


def fails_unexpectedly(*_: object) -> None:
    raise RuntimeError("nobody foresaw it")


async def is_cancelled(*_: object) -> None:
    raise asyncio.CancelledError


#: What ends the look-up of a transaction whose commit was not answered.
ENDS: dict[str, dict[str, Callable[..., object]]] = {
    "still undecided": {},
    "log unread": {"wait_decided": fails},
    "log not opened again": {"wait_decided": lambda *_: True},
    "unexpected": {"check": fails_unexpectedly},
    "cancelled": {},
}


@pytest.mark.parametrize("end", ENDS)
async def test_b14_rows_whose_look_up_ends_are_unknown_and_never_said_to_be_unwritten(
    replica_factory: ReplicaFactory,
    imports: MemoryImports,
    monkeypatch: pytest.MonkeyPatch,
    end: str,
) -> None:
    monkeypatch.setattr("api.ingest.keyed_body._PAUSE_SECONDS", 0.01)
    caller = replica_factory(patience=0.1)
    assert (await send(caller, BAD_ROW, "other")).status == 202
    imports.fates = ["open"]
    keyed = caller.services.keyed
    assert keyed is not None
    with monkeypatch.context() as broken:

        def break_it() -> None:
            for name, function in ENDS[end].items():
                broken.setattr(keyed._keys, name, function)
            if end == "log not opened again":
                broken.setattr(keyed._keys, "start", fails)
            if end == "cancelled":
                broken.setattr("asyncio.sleep", is_cancelled)

        imports.meanwhile = break_it
        answer = await send(caller, ROW)
    imports.meanwhile = lambda: None
    assert answer.status == 504
    assert answer.json()["unknown_rows"] == 1
    # The rows were in the log.
    imports.notes[1][2].is_committed = True
    again = await send(caller, ROW)
    assert (again.status, again.json()["successful_rows"]) == (202, 1)
    assert imports.values == [ROW]


async def test_b14_rows_that_were_looked_up_are_no_longer_unknown(
    replica_factory: ReplicaFactory, imports: MemoryImports, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.ingest.keyed_body._PAUSE_SECONDS", 0.01)
    caller = replica_factory(patience=1.0)
    keyed = caller.services.keyed
    wait = keyed._keys.wait_decided

    def abort(offset: int, timeout_seconds: float) -> bool:
        imports.notes[0][2].is_committed = False
        imports.values.clear()
        return wait(offset, timeout_seconds)

    monkeypatch.setattr(keyed._keys, "wait_decided", abort)
    imports.fates = ["open", "refused"]
    answer = await send(caller, ROW)
    assert answer.status == 503
    assert "nothing was written" in answer.error
    # Refused before its own check: what became of the one before is as unknown as it was.
    imports.fates = ["open"]
    imports.meanwhile = lambda: monkeypatch.setattr(keyed._keys, "check", is_refused)
    answer = await send(caller, ROW)
    assert (answer.status, answer.json()["unknown_rows"]) == (504, 1)


def is_refused(*_: object) -> None:
    raise KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))


async def test_b14_a_broken_off_body_goes_on_where_it_stopped(
    replica_factory: ReplicaFactory, imports: MemoryImports
) -> None:
    caller, other = replica_factory(patience=0.0), replica_factory()
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


async def test_api_b10_a_token_has_half_of_the_keys_and_old_ones_are_removed(
    replica_factory: ReplicaFactory, imports: MemoryImports, clock: Clock
) -> None:
    caller = replica_factory(idempotency_keys=20)
    other = another(caller)
    assert {(await send(caller, ROW, f"key{n}")).status for n in range(10)} == {202}
    # Notes are read with the next write, so one more may pass.
    await send(caller, ROW, "key10")
    busy = await send(caller, ROW, "key11")
    assert busy.status == 503
    assert "API_IDEMPOTENCY_KEYS" in busy.error
    assert (await send(caller, ROW, "key9")).status == 202
    assert (await send(other, ROW, "key10")).status == 202
    assert len(imports.kept) == 12
    clock.now += KEPT_SECONDS
    assert (await send(caller, ROW, "new")).status == 202
    # All but the last one, which this process had not read yet.
    assert len(imports.kept) == 2


async def test_b14_looking_for_old_keys_keeps_the_young_ones(
    caller: Caller, imports: MemoryImports, clock: Clock
) -> None:
    keys = [f"key{n}" for n in range(32)]
    for key in keys:
        await send(caller, ROW, key)
    clock.now += KEPT_SECONDS // 2
    for key in keys:
        await send(caller, ROW, "later " + key)
    for key in keys:
        assert (await send(caller, ROW, key)).status == 202
    assert len(imports.values) == 2 * len(keys)


async def test_api_b10_keys_are_each_tokens_own(caller: Caller, imports: MemoryImports) -> None:
    assert (await send(caller, ROW)).status == 202
    assert (await send(another(caller), BAD_ROW)).status == 202
    assert (await send(caller, BAD_ROW)).status == 422
    assert len(imports.kept) == 2


async def test_api_b10_a_key_with_a_record_that_is_not_ours_is_refused_and_no_other(
    replica_factory: ReplicaFactory, imports: MemoryImports
) -> None:
    first = replica_factory()
    sender = another(first)
    assert (await send(sender, ROW)).status == 202
    for key in ("a", "b"):
        record = (record_key_of(sender, key), b"hello", Transaction(True))
        imports.notes.append(record)
    for replica in (first, replica_factory()):
        sender = another(replica)
        # One row is in the log, and nobody can know.
        for key in ("a", "b"):
            answer = await send(sender, ROW, key)
            assert answer.status == 422
            assert "cannot be read" in answer.error
        assert (await send(sender, ROW, "c")).status == 202
    assert imports.values == [ROW] * 2


async def test_api_b10_a_body_waits_for_another_request_with_its_key_alone(
    replica_factory: ReplicaFactory, imports: MemoryImports
) -> None:
    """A dead process has left a transaction open: until Kafka ends it, its key waits."""
    first, second = replica_factory(patience=0.2), replica_factory()
    dead = Transaction()
    await send(first, ROW)
    name = next(iter(imports.kept))
    imports.notes.append((name, None, dead))
    assert (await send(first, BAD_ROW, "other")).status == 202
    assert (await send(first, ROW)).json()["successful_rows"] == 1  # known: nothing to write
    started = another(first)
    imports.notes.append((record_key_of(started, "b"), None, dead))
    busy = await send(started, ROW, "b")
    assert busy.status == 503
    assert "this key" in busy.error
    dead.is_committed = False
    assert (await send(started, ROW, "b")).status == 202
    assert second is not first


@pytest.mark.parametrize("end", ["decided", "stopping", "never"])
async def test_api_b10_a_killed_process_is_waited_for_as_long_as_kafka_needs(
    replica_factory: ReplicaFactory,
    imports: MemoryImports,
    monkeypatch: pytest.MonkeyPatch,
    end: str,
) -> None:
    """The 15 s in which Kafka ends its transaction are no 503: they are counted, not waited for."""
    monkeypatch.setattr("api.ingest.keyed_body.DEAD_SECONDS", DEAD_SECONDS)
    monkeypatch.setattr("api.ingest.keyed_body._LOOK_SECONDS", 1.0)
    caller, stopping, dead = replica_factory(patience=6.0), Event(), Transaction()
    sender, keyed = another(caller), caller.services.keyed
    keyed._bounds = keyed._bounds._replace(should_stop=stopping.is_set)
    wait, waited = keyed._keys.wait_decided, []

    def look(offset: int, timeout_seconds: float) -> bool:
        waited.append(timeout_seconds)
        if end == "stopping":
            stopping.set()
        if end == "decided" and sum(waited) > 15:
            dead.is_committed = False
            return wait(offset, timeout_seconds)
        return False

    monkeypatch.setattr(keyed._keys, "wait_decided", look)
    imports.notes.append((record_key_of(sender, "a"), None, dead))
    answer = await send(sender, ROW)
    assert answer.status == (202 if end == "decided" else 503)
    assert sum(waited) == {"decided": 16, "stopping": 1, "never": 16}[end]
    if end == "stopping":
        assert "stopping" in answer.error


async def test_api_b10_waiting_for_a_writer_has_an_end(
    replica_factory: ReplicaFactory, monkeypatch: pytest.MonkeyPatch, imports: MemoryImports
) -> None:
    monkeypatch.setattr("api.ingest.idempotency.TURN_SECONDS", 0.05)
    caller, over = replica_factory(), Event()
    imports.meanwhile = lambda: over.wait(20) and None
    held = [asyncio.create_task(send(caller, ROW, f"key{n}")) for n in range(WRITERS // 2)]
    await asyncio.sleep(0)
    answer = await send(caller, ROW, "late")
    assert answer.status == 503
    assert answer.headers["retry-after"]
    other = asyncio.create_task(send(another(caller), ROW, "late"))
    over.set()
    assert (await other).status == 202
    assert {(await task).status for task in held} == {202}
    assert (await send(caller, ROW, "late")).status == 202


@pytest.mark.parametrize("is_cancelled", [False, True])
async def test_api_b4_a_keyed_body_that_a_stop_ends_has_its_counts(
    replica_factory: ReplicaFactory, imports: MemoryImports, is_cancelled: bool
) -> None:
    caller, body, stopping = replica_factory(), rows(MANY), Event()
    keyed = caller.services.keyed
    keyed._bounds = keyed._bounds._replace(should_stop=stopping.is_set)
    loop = asyncio.get_running_loop()
    sending = asyncio.create_task(send(caller, body))

    def stop() -> None:
        # As the server does: it says so, and cancels who is still at work later.
        stopping.set()
        if is_cancelled:
            loop.call_soon_threadsafe(sending.cancel)

    imports.meanwhile = stop
    answer = await sending
    assert answer.status == 504
    assert answer.json()["successful_rows"] == len(imports.values) > 0
    imports.meanwhile = lambda: None
    assert (await send(replica_factory(), body)).json()["successful_rows"] == MANY
    assert b"\n".join(imports.values) == body


async def test_api_b18_a_keyed_body_with_too_many_refused_rows_writes_nothing(
    caller: Caller, imports: MemoryImports
) -> None:
    body = b"\n".join([ROW] + [b"{}"] * (MOST_REFUSED + 1))
    assert (await send(caller, body)).status == 400
    assert (imports.values, imports.refused) == ([], [])


# Files

FILE = "/v0/datasources?name=energy_consumption&format=ndjson"


async def test_api_b7_a_file_counts_once_and_is_answered_alike(
    replica_factory: ReplicaFactory, imports: MemoryImports
) -> None:
    first, second = replica_factory(), replica_factory()
    file = rows(MANY) + b"\n" + BAD_ROW
    answers = [await each.post(FILE, file, idempotency_key="a") for each in (first, second, first)]
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1
    content = answers[0].json()
    assert (content["successful_rows"], content["quarantined_rows"]) == (MANY, 1)
    assert json.loads(imports.refused[0])["c__import_id"] == content["import_id"]
    assert b"\n".join(imports.values) == rows(MANY)
    other = await first.post(FILE, file + b"\n", idempotency_key="a")
    assert other.status == 422
    # The same key for a body of events is another key.
    assert (await send(first, ROW)).status == 202
    assert (await first.post(FILE, file, idempotency_key="b")).json()["import_id"] != content[
        "import_id"
    ]


async def test_api_b7_a_file_that_was_broken_off_goes_on_where_it_stopped(
    replica_factory: ReplicaFactory, imports: MemoryImports
) -> None:
    file = b"timestamp,device_id,energy_consumed,location\n" + b"".join(
        b"2025-04-30 10:11:21,d%d,%s,x\n" % (n, b"bad" if n % 4_000 == 3_999 else b"5")
        for n in range(MANY)
    )
    csv = FILE.replace("ndjson", "csv")
    imports.fates = ["", "gone"]
    broken = await replica_factory(patience=0.0).post(csv, file, idempotency_key="a")
    assert broken.status == 504
    assert 0 < broken.json()["successful_rows"] < MANY
    again = await replica_factory().post(csv, gzip.compress(file, 1, mtime=0), idempotency_key="b")
    assert again.status == 200
    imports.values.clear()
    imports.refused.clear()
    done = await replica_factory().post(csv, file, idempotency_key="a")
    assert (done.json()["successful_rows"], done.json()["quarantined_rows"]) == (MANY - 3, 3)
    left = MANY - broken.json()["successful_rows"] - broken.json()["quarantined_rows"]
    assert len(imports.values) + len(imports.refused) == left
    assert [json.loads(each)["__line"] for each in imports.refused][-1] == 12_001


async def test_api_b7_b18_a_keyed_file_ends_at_too_many_refused_rows_each_time(
    caller: Caller, imports: MemoryImports
) -> None:
    file = b"\n".join([ROW] * 6_000 + [b"{}"] * 25_000)
    answers = [await caller.post(FILE, file, idempotency_key="a") for _ in range(2)]
    assert {answer.status for answer in answers} == {400}
    for answer in answers:
        assert answer.json()["successful_rows"] == len(imports.values) == 6_000
        assert answer.json()["quarantined_rows"] == len(imports.refused) <= MOST_REFUSED


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
        keys=imports.keys(),  # type: ignore[arg-type]
        writer_of=imports.writer,  # type: ignore[arg-type,return-value]
    )
    caller = caller_for(tmp_path, view, keyed=keyed)
    waiting = asyncio.create_task(caller.events(ROW, "&wait=true", idempotency_key="a"))
    await until(lambda: imports.values)
    await asyncio.sleep(0.1)
    assert not waiting.done()
    caller.services.lag.saw({0: 7})
    await view.apply(changelog_chunk(transaction({"device_1": (9, 2)}, 5), start=2))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    await view.apply(changelog_chunk(transaction({"device_1": (9, 2)}, 6), start=4))
    assert (await waiting).status == 200
