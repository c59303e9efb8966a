"""The quarantine endpoint: which rows, in which order, how many; and what fails."""

import asyncio
import json
import tracemalloc
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError

import api.query.shown_records
from api.query.quarantine_log import PAUSE_BYTES, RECORD_BYTES, Page, QuarantineLog
from contract.decoding import decode_readings
from contract.errors import InvalidReading
from contract.quarantine import ImportedRow, Origin, encode_quarantined
from tests.api_doubles import Answer, Caller, caller_for, filled_view
from tests.quarantine_double import COLUMNS, MemoryLog, quarantine_record, quarantine_value
from tests.records import HandmadeRecord

PIPE = "/v0/pipes/energy_consumption_quarantine.json"


async def caller_of(tmp_path: Path, *partitions: list[HandmadeRecord], **settings: Any) -> Caller:
    log = MemoryLog(dict(enumerate(partitions)))
    return caller_for(tmp_path, await filled_view({"a": (1, 1)}), quarantine=log, **settings)


def offsets(answer: Answer) -> list[int]:
    assert answer.status == 200, answer.body
    content = answer.json()
    assert content["rows"] == len(content["data"])
    return [row["__offset"] for row in content["data"]]


async def test_rows_come_newest_first_over_all_partitions(tmp_path: Path) -> None:
    caller = await caller_of(
        tmp_path,
        [quarantine_record(0, 10), quarantine_record(1, 40)],
        [quarantine_record(100, 20), quarantine_record(101, 30)],
        [],
    )
    assert offsets(await caller.get(PIPE)) == [1, 101, 100, 0]
    assert offsets(await caller.get(f"{PIPE}?limit=2")) == [1, 101]
    assert offsets(await caller.get(f"{PIPE}?limit=2&offset=1")) == [101, 100]
    assert offsets(await caller.get(f"{PIPE}?offset=4")) == []
    assert offsets(await caller.get(f"{PIPE}?limit=0")) == []
    assert offsets(await caller.get(PIPE.removesuffix(".json"))) == [1, 101, 100, 0]


async def test_rows_of_other_view_versions_are_not_shown(tmp_path: Path) -> None:
    caller = await caller_of(
        tmp_path,
        [quarantine_record(offset, offset, version) for offset, version in enumerate([1, 2, None])],
    )
    assert offsets(await caller.get(PIPE)) == [2, 0]


async def test_the_answer_has_the_columns_of_the_contract(tmp_path: Path) -> None:
    caller = await caller_of(tmp_path, [quarantine_record(0, 1, 1)])
    content = (await caller.get(PIPE)).json()
    assert list(content) == ["meta", "data", "rows", "rows_before_limit_at_least", "statistics"]
    assert {each["name"] for each in content["meta"]} == set(COLUMNS) == set(content["data"][0])
    assert content["rows_before_limit_at_least"] == 1
    assert content["statistics"]["rows_read"] == 1
    assert content["statistics"]["bytes_read"] > 100


def refused(value: bytes) -> InvalidReading:
    _, ((_, error),) = decode_readings([value])
    return error


async def test_k78_what_our_writers_write_comes_back_as_it_was_received(tmp_path: Path) -> None:
    from datetime import UTC, datetime

    now = datetime(2025, 4, 30, 10, 11, 21, tzinfo=UTC)
    value = b'{"timestamp":"never","device_id":"=1+1","energy_consumed":1,"location":"x\\u2028"}'
    broken = b"\xff\xfe"
    records = [
        encode_quarantined(value, refused(value), Origin("t", 3, 7, 1_000, b"\xc0"), now),
        encode_quarantined(broken, refused(broken), ImportedRow("id", "f.csv", 4), now),
    ]
    caller = await caller_of(
        tmp_path, [quarantine_record(n, n, None, record) for n, record in enumerate(records)]
    )
    newest, oldest = (await caller.get(PIPE)).json()["data"]
    assert oldest["device_id"] == "=1+1"
    assert oldest["location"] == "x\N{LINE SEPARATOR}"
    assert oldest["c__error_column"] == ["timestamp"]
    assert oldest["__value"] == value.decode()
    assert (oldest["__key"], oldest["__key_base64"]) == (None, "wA==")
    assert (oldest["__topic"], oldest["__partition"], oldest["__offset"]) == ("t", 3, 7)
    assert (newest["__value"], newest["__value_base64"]) == (None, "//4=")
    assert (newest["c__import_id"], newest["__line"], newest["__topic"]) == ("id", 4, None)
    assert newest["insertion_date"] == "2025-04-30 10:11:21"


async def test_a_page_that_would_be_too_large_is_cut_and_goes_on(tmp_path: Path) -> None:
    large = quarantine_value(__value="x" * 300_000)
    caller = await caller_of(
        tmp_path,
        [quarantine_record(n, n, None, large) for n in range(10)],
        quarantine_answer_bytes=1_000_000,
    )
    seen = 0
    while True:
        answer = await caller.get(f"{PIPE}?offset={seen}")
        assert len(answer.body) < 1_100_000
        if not (rows := answer.json()["rows"]):
            break
        assert answer.json()["rows_before_limit_at_least"] >= seen + rows
        seen += rows
    assert seen == 10


async def test_one_row_that_is_too_large_is_given_alone(tmp_path: Path) -> None:
    huge = quarantine_value(__value="x" * 1_500_000)
    caller = await caller_of(
        tmp_path,
        [quarantine_record(n, n, None, huge) for n in range(2)],
        quarantine_answer_bytes=1_000_000,
    )
    assert (await caller.get(PIPE)).json()["rows"] == 1


async def test_a_small_page_reads_only_the_ends(tmp_path: Path) -> None:
    log = MemoryLog({n: [quarantine_record(at, at) for at in range(5_000)] for n in range(2)})
    caller = caller_for(tmp_path, await filled_view({"a": (1, 1)}), quarantine=log)
    answer = await caller.get(f"{PIPE}?limit=10")
    assert offsets(answer) == [4_999, 4_999, 4_998, 4_998, 4_997, 4_997, 4_996, 4_996, 4_995, 4_995]
    assert answer.json()["statistics"]["rows_read"] < 200


@pytest.mark.parametrize(
    "query",
    ["limit=10001", "offset=100001", "limit=-1", "limit=1&limit=1", "order_by=x", "device_id=a"],
)
async def test_h21_h26_bad_parameters_are_400_and_named(tmp_path: Path, query: str) -> None:
    caller = await caller_of(tmp_path, [])
    answer = await caller.get(f"{PIPE}?{query}")
    assert answer.status == 400
    assert query.partition("=")[0] in answer.error


async def test_h13_before_the_live_version_is_known_it_is_503(tmp_path: Path) -> None:
    answer = await caller_for(tmp_path, None).get(PIPE)
    assert answer.status == 503
    assert "retry-after" in answer.headers


@pytest.mark.parametrize("failure", [KafkaConnectionError("gone"), OSError("gone"), None])
async def test_it_is_503_when_kafka_does_not_answer(
    tmp_path: Path, failure: Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.query.quarantine.ANSWER_SECONDS", 0.05)

    @asynccontextmanager
    async def broken() -> Any:
        if failure is not None:
            raise failure
        await asyncio.Event().wait()
        yield

    caller = await caller_of(tmp_path, [])
    caller.services.quarantine = QuarantineLog({}, open_reader=broken)
    answer = await caller.get(PIPE)
    assert answer.status == 503
    assert json.loads(answer.body)["error"]
    assert "retry-after" in answer.headers


async def test_b24_one_token_never_has_all_turns(tmp_path: Path) -> None:
    log = MemoryLog({0: [quarantine_record(0, 10)]})
    caller = caller_for(tmp_path, await filled_view({"a": (1, 1)}), quarantine=log)
    other = Caller(caller.app, caller.services.tokens.create("other", ["ADMIN"]))
    may_read, begun = asyncio.Event(), 0
    newest = caller.services.quarantine.newest

    async def slowly(version: int, offset: int, *rest: int) -> Page:
        nonlocal begun
        begun += 1
        if offset:
            await may_read.wait()
        return await newest(version, offset, *rest)

    caller.services.quarantine.newest = slowly  # type: ignore[method-assign]
    greedy = [asyncio.create_task(caller.get(f"{PIPE}?offset={n}")) for n in range(1, 9)]
    while not begun:  # noqa: ASYNC110
        await asyncio.sleep(0)
    assert offsets(await other.get(PIPE)) == [0]
    assert begun == 2
    may_read.set()
    assert {each.status for each in await asyncio.gather(*greedy)} == {200}


async def test_b24_reading_far_back_lets_others_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = 0
    decode = api.query.shown_records.decode_quarantined

    def counting(value: bytes | None) -> Any:
        nonlocal read
        read += 1
        return decode(value)

    monkeypatch.setattr("api.query.shown_records.decode_quarantined", counting)
    caller = await caller_of(tmp_path, [quarantine_record(n, n) for n in range(12_000)])
    asked = asyncio.create_task(caller.get(f"{PIPE}?offset=9000&limit=10"))
    most = 0
    while not asked.done():
        before = read
        await asyncio.sleep(0)
        most = max(most, read - before)
    assert offsets(await asked) == list(range(2_999, 2_989, -1))
    assert read > 9_000
    assert 0 < most <= PAUSE_BYTES // RECORD_BYTES


async def test_b16_slow_readers_of_pages_hold_no_page_in_memory(tmp_path: Path) -> None:
    large = quarantine_value(__value="x" * 500_000)
    caller = await caller_of(
        tmp_path,
        [quarantine_record(n, n, None, large) for n in range(10)],
        quarantine_answer_bytes=4_000_000,
    )
    may_read, waiting = asyncio.Event(), 0

    async def take_nothing() -> None:
        nonlocal waiting
        waiting += 1
        await may_read.wait()

    tracemalloc.start()
    try:
        readers = [
            asyncio.create_task(caller.request("GET", f"{PIPE}?offset={n % 3}", before_send=gate))
            for n, gate in enumerate([take_nothing] * 12)
        ]
        while waiting < len(readers):  # noqa: ASYNC110
            await asyncio.sleep(0)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert caller.services.answers.taken > 10_000_000
    assert held < 6_000_000
    may_read.set()
    assert {answer.json()["rows"] for answer in await asyncio.gather(*readers)} == {7}
    assert caller.services.answers.taken == 0
