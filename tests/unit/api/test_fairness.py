"""What one request or one token may use up, and that others are served meanwhile.

Ids are of the second review: api B4, B5, B18 to B22 (CONTRACT section 5, Fairness).
"""

from __future__ import annotations

import asyncio
import errno
import gzip
import io
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

import api.http.spool
import api.ingest.sending
import api.ingest.upload_rows
import producer.judging
from api.auth.token_store import TokenStore
from api.http.allowance import Budget
from api.http.spool import Spool
from api.ingest.intake import UPLOADS, UPLOADS_SHARE
from api.ingest.sending import MOST_REFUSED
from api.routes.forms import FORM_BYTES
from contract.settings import TOKENS_NAME
from tests.api_doubles import (
    Caller,
    ScriptedDelivery,
    ScriptedPublisher,
    caller_for,
    counts,
    filled_view,
)
from tests.records import reading_value

ROW = reading_value("device_7", "3106278102")
FILE = "/v0/datasources?name=energy_consumption&format=ndjson"
TOTALS = "/v0/pipes/energy_consumption_by_device.json"
APPEND = "DATASOURCES:APPEND:energy_consumption"


def another(caller: Caller, scope: str = APPEND) -> Caller:
    """The same server, asked with another token."""
    store = TokenStore(caller.services.settings.home / TOKENS_NAME)
    return Caller(caller.app, store.create(f"another {len(store.list())}", [scope]))


def array_of(rows: Sequence[bytes]) -> bytes:
    return b"[" + b",".join(rows) + b"]"


def lines_of(rows: Sequence[bytes]) -> bytes:
    return b"\n".join(rows)


# Refused rows


@pytest.mark.parametrize("written", [lines_of, array_of])
@pytest.mark.parametrize("good", [1, 2_000])
@pytest.mark.parametrize("row", [b"{}", b'{"timestamp": "%s"}' % (b"x" * 200)])
async def test_api_b18_more_refused_rows_than_one_body_may_have_write_nothing(
    tmp_path: Path, written: Callable[[Sequence[bytes]], bytes], good: int, row: bytes
) -> None:
    publisher = ScriptedPublisher()
    caller = caller_for(tmp_path, None, publisher)
    body = written([ROW] * good + [row] * (MOST_REFUSED + 1) + [ROW])
    answer = await caller.events(zstandard.compress(body), content_encoding="zstd")
    assert answer.status == 400
    assert "10000 rows" in answer.error
    assert (publisher.rows, publisher.refused) == ([], [])
    body = written([ROW] * good + [row] * MOST_REFUSED + [ROW])
    assert counts(await caller.events(body)) == (202, good + 1, MOST_REFUSED)


async def test_api_b18_a_body_that_is_judged_first_is_written_as_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        b"bad %d" % number if number % 7 == 3 else reading_value(f"d{number % 50}", str(number))
        for number in range(3_000)
    ]
    seen = []
    for most in (MOST_REFUSED, 500):
        monkeypatch.setattr(api.ingest.sending, "MOST_REFUSED", most)
        publisher = ScriptedPublisher()
        answer = await caller_for(tmp_path / str(most), None, publisher).events(lines_of(rows))
        refused = [(each["__value"], each["__line"]) for each in publisher.refused]
        seen.append((counts(answer), publisher.rows, refused))
    assert seen[0] == seen[1]
    assert seen[0][0] == (202, 3_000 - 429, 429)
    assert seen[0][2][0] == ("bad 3", 4)


async def test_api_b18_each_row_is_judged_once_and_a_short_body_not_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[int] = []
    decode = producer.judging.decode_readings

    def counting(values: Sequence[bytes]) -> Any:
        judged.append(len(values))
        return decode(values)

    monkeypatch.setattr(producer.judging, "decode_readings", counting)
    caller = caller_for(tmp_path, None)
    assert (await caller.events(ROW)).status == 202
    assert judged == [1]
    judged.clear()
    assert (await caller.events(lines_of([ROW] * 12_000))).status == 202
    assert sum(judged) == 12_000


async def test_api_b18_a_file_ends_at_too_many_refused_rows_with_its_counts(
    tmp_path: Path,
) -> None:
    publisher = ScriptedPublisher()
    caller = caller_for(tmp_path, None, publisher)
    answer = await caller.post(FILE, lines_of([ROW] * 6_000 + [b"{}"] * 25_000))
    assert answer.status == 400
    assert "10000 rows" in answer.error
    content = answer.json()
    assert content["successful_rows"] == len(publisher.rows) == 6_000
    assert content["quarantined_rows"] == len(publisher.refused) <= MOST_REFUSED
    assert content["unknown_rows"] == 0


# What a token may hold


async def test_api_b19_a_form_is_not_received_beyond_its_bound_nor_counted_as_a_body(
    tmp_path: Path,
) -> None:
    caller = caller_for(tmp_path, await filled_view({"a": (1, 1)}), scope="PIPES:READ:*")
    held: list[int] = []
    take = caller.services.bodies.take
    caller.services.bodies.take = lambda *a: held.append(1) or take(*a)  # type: ignore[func-returns-value, method-assign]
    for headers, body in (
        ({}, [b"x" * 65_536] * 8),
        ({"content_encoding": "gzip"}, [gzip.compress(b" " * 50_000_000)]),
    ):
        answer = await caller.post(TOTALS, body, **headers)
        assert answer.status == 413
        assert caller.services.forms.taken == 0
    assert not held
    assert (await caller.post(TOTALS, b"device_id=a")).status == 200
    assert caller.services.forms.most > FORM_BYTES


async def test_api_b19_one_tokens_bodies_leave_room_for_those_of_others(tmp_path: Path) -> None:
    body = lines_of([ROW] * 40)
    caller = caller_for(
        tmp_path, None, max_bodies_bytes=4 * len(body), max_inflated_bytes=len(body)
    )
    end = asyncio.Event()
    url = "/v0/events?name=energy_consumption"
    held = [asyncio.create_task(caller.request("POST", url, body=body, until=end)) for _ in "12"]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    busy = await caller.events(body)
    assert busy.status == 503
    assert "this token" in busy.error
    assert busy.headers["retry-after"]
    assert (await another(caller).events(body)).status == 202
    end.set()
    assert {(await task).status for task in held} == {202}
    assert (await caller.events(body)).status == 202
    assert caller.services.bodies.taken == 0


async def test_api_b20_slow_uploads_of_one_token_do_not_exclude_those_of_others(
    tmp_path: Path,
) -> None:
    caller = caller_for(tmp_path, None)
    end = asyncio.Event()
    most = int(UPLOADS * UPLOADS_SHARE)
    held = [
        asyncio.create_task(caller.request("POST", FILE, body=ROW, until=end)) for _ in range(most)
    ]
    await asyncio.sleep(0)
    assert (await caller.post(FILE, ROW)).status == 503
    assert (await another(caller).post(FILE, ROW)).status == 200
    end.set()
    assert {(await task).status for task in held} == {200}
    assert (await caller.post(FILE, ROW)).status == 200


async def test_api_b20_an_upload_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    caller = caller_for(tmp_path, None, upload_timeout_seconds=1.0)
    answer = await caller.request("POST", FILE, body=ROW, until=asyncio.Event())
    assert answer.status == 408
    assert caller.services.spool.taken == caller.services.uploads.taken == 0


async def test_api_b21_a_file_inflates_to_so_much_at_most(tmp_path: Path) -> None:
    publisher = ScriptedPublisher()
    caller = caller_for(tmp_path, None, publisher, max_inflated_upload_bytes=1_000_000)
    bomb = gzip.compress((ROW + b"\n") * 20_000)
    answer = await caller.post(FILE, bomb)
    assert answer.status == 413
    assert "1000000 bytes" in answer.error
    assert publisher.rows == []
    assert counts(await caller.post(FILE, gzip.compress(ROW))) == (200, 1, 0)


async def test_api_b22_one_tokens_files_leave_disk_for_those_of_others(tmp_path: Path) -> None:
    file = lines_of([ROW] * 40)
    caller = caller_for(tmp_path, None, max_spool_bytes=4 * len(file), max_upload_bytes=len(file))
    end = asyncio.Event()
    held = [asyncio.create_task(caller.request("POST", FILE, body=file, until=end)) for _ in "12"]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    busy = await caller.post(FILE, file)
    assert busy.status == 503
    assert "bytes of files" in busy.error
    assert (await another(caller).post(FILE, file)).status == 200
    end.set()
    assert {(await task).status for task in held} == {200}
    assert caller.services.spool.taken == 0


# The disk


@pytest.mark.parametrize("target", [FILE, "/v0/events?name=energy_consumption"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EMFILE])
async def test_api_b5_a_disk_that_fails_refuses_nobody_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, number: int
) -> None:
    publisher = ScriptedPublisher()
    caller = caller_for(tmp_path, None, publisher)
    body = [lines_of([ROW] * 6_000 + [b""])] * 3
    with monkeypatch.context() as patched:

        def refuse(*_: object, **__: object) -> None:
            raise OSError(number, "no")

        patched.setattr(tempfile, "TemporaryFile", refuse)
        for _ in range(UPLOADS + 1):
            answer = await caller.post(target, body)
            assert answer.status == 503
            assert answer.headers["retry-after"]
            assert ("full" in answer.error) == (number == errno.ENOSPC)
    assert publisher.rows == []
    assert counts(await caller.post(target, body))[1:] == (18_000, 0)
    text = caller.services.metrics.text().decode()
    assert "api_unexpected_errors_total 0.0" in text


async def test_api_b5_a_swept_spool_directory_is_made_again(tmp_path: Path) -> None:
    caller = caller_for(tmp_path, None)
    caller.services.spool_directory.rmdir()
    body = [lines_of([ROW] * 6_000 + [b""])] * 3
    assert (await caller.post(FILE, body)).status == 200


def parquet(rows: int = 3) -> bytes:
    columns = {
        "timestamp": ["2025-04-30 10:11:21"] * rows,
        "device_id": ["d"] * rows,
        "energy_consumed": range(rows),
        "location": ["x"] * rows,
    }
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer, compression="none", use_dictionary=False)
    return buffer.getvalue()


@pytest.mark.parametrize("packed", [bytes, gzip.compress, zstandard.compress])
async def test_f3_copies_of_parquet_lie_on_the_spools_disk_and_fail_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: Callable[[bytes], bytes]
) -> None:
    caller = caller_for(tmp_path, None)
    made: list[object] = []
    real = tempfile.TemporaryFile

    def counting(**options: Any) -> Any:
        made.append(options.get("dir"))
        return real(**options)

    def full(**_: object) -> Any:
        raise OSError(errno.ENOSPC, "no")

    target = FILE.replace("ndjson", "parquet")
    monkeypatch.setattr(tempfile, "TemporaryFile", counting)
    assert counts(await caller.post(target, packed(parquet()))) == (200, 3, 0)
    assert made == [caller.services.spool_directory]
    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    answer = await caller.post(target, packed(parquet()))
    assert (answer.status, "API_SPOOL_DIR is full" in answer.error) == (503, True)
    assert caller.services.spool.taken == 0


async def test_f3_what_parquet_inflates_to_counts_for_its_token(tmp_path: Path) -> None:
    target, inside = FILE.replace("ndjson", "parquet"), parquet(5_000)
    packed = zstandard.compress(inside)
    most = len(packed) + len(inside)
    sizes = {"max_upload_bytes": len(inside)}
    caller = caller_for(tmp_path / "enough", None, max_spool_bytes=2 * most, **sizes)
    assert counts(await caller.post(target, packed)) == (200, 5_000, 0)
    # Others may have the rest of the disk.
    caller.services.spool.take("other", caller.services.spool.most)
    caller.services.spool.total -= 1
    assert (await caller.post(target, packed)).status == 503
    caller = caller_for(tmp_path / "little", None, max_spool_bytes=2 * most - 2, **sizes)
    answer = await caller.post(target, packed)
    assert (answer.status, f"{most - 1} bytes of disk" in answer.error) == (413, True)
    assert caller.services.spool.taken == 0


async def test_f4_what_all_bodies_keep_in_memory_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api.http.spool, "ALL_MEMORY_BYTES", 100_000)
    before = Spool.kept_by_all
    budget = Budget(20 * 30_000, 1.0)
    spools = [Spool(budget, "a", tmp_path) for _ in range(20)]
    for spool in spools:
        spool.add(b"x" * 30_000)
        await spool.write_due()
        assert Spool.kept_by_all - before <= 100_000
    assert sum(spool.in_memory() is not None for spool in spools) == 3
    for spool in spools:
        file = await spool.opened()
        assert file.read() == b"x" * 30_000
        spool.close()
    assert (Spool.kept_by_all, budget.taken) == (before, 0)


# Counts, whatever happens after the first row


class BreakingPublisher(ScriptedPublisher):
    """Takes the first slice of a body; with the second something happens."""

    def __init__(self, happens: Callable[[], None]) -> None:
        super().__init__()
        self.happens = happens

    def delivery(self) -> ScriptedDelivery:
        return BreakingDelivery(self)


class BreakingDelivery(ScriptedDelivery):
    def __init__(self, publisher: BreakingPublisher) -> None:
        super().__init__(publisher)
        self._breaking = publisher

    async def readings(self, keys: Sequence[bytes], values: Sequence[bytes]) -> bool:
        if self._successful:
            self._breaking.happens()
            await asyncio.sleep(0)
        return await super().readings(keys, values)


def cancel() -> None:
    task = asyncio.current_task()
    task.cancel()


def fail() -> None:
    raise RuntimeError("nobody foresaw this")


TARGETS = ["/v0/events?name=energy_consumption", FILE]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(("happens", "unexpected"), [(cancel, 0), (fail, 1)])
async def test_api_b4_after_the_first_row_every_end_has_its_counts(
    tmp_path: Path, target: str, happens: Callable[[], None], unexpected: int
) -> None:
    publisher = BreakingPublisher(happens)
    caller = caller_for(tmp_path, None, publisher)
    answer = await asyncio.create_task(caller.post(target, lines_of([ROW] * 20_000)))
    assert answer.status == 504
    content = answer.json()
    assert content["successful_rows"] == len(publisher.rows) > 0
    assert (content["quarantined_rows"], content["unknown_rows"]) == (0, 0)
    text = caller.services.metrics.text().decode()
    assert f"api_unexpected_errors_total {unexpected}.0" in text
    assert f'api_rows_total{{outcome="successful"}} {float(len(publisher.rows))}' in text


@pytest.mark.parametrize(("target", "status"), list(zip(TARGETS, (202, 200), strict=True)))
async def test_api_b4_a_cancelled_request_whose_rows_are_all_there_is_answered(
    tmp_path: Path, target: str, status: int
) -> None:
    class Cancelled(ScriptedDelivery):
        async def finish(self) -> Any:
            cancelled.cancel()
            await asyncio.sleep(0.01)
            return await super().finish()

    publisher = ScriptedPublisher()
    publisher.delivery = lambda: Cancelled(publisher)  # type: ignore[method-assign]
    caller = caller_for(tmp_path, None, publisher)
    cancelled = asyncio.create_task(caller.post(target, ROW))
    assert counts(await cancelled) == (status, 1, 0)


@pytest.mark.parametrize("target", TARGETS)
async def test_api_b4_cancelled_before_its_first_row_it_may_be_sent_again(
    tmp_path: Path, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher = ScriptedPublisher()

    async def connected(*_: object) -> bool:
        cancel()
        await asyncio.sleep(0)
        return True

    delivery = ScriptedDelivery(publisher)
    delivery.readings = connected  # type: ignore[method-assign]
    publisher.delivery = lambda: delivery  # type: ignore[method-assign]
    caller = caller_for(tmp_path, None, publisher)
    answer = await asyncio.create_task(caller.post(target, ROW))
    assert answer.status == 503
    assert answer.headers["retry-after"]
    assert "stopping" in answer.error


async def test_api_b4_a_file_ends_when_the_server_stops(tmp_path: Path) -> None:
    publisher = BreakingPublisher(lambda: None)
    caller = caller_for(tmp_path, None, publisher)

    def stop() -> None:
        caller.services.is_stopping = True

    publisher.happens = stop
    answer = await caller.post(FILE, lines_of([ROW] * 40_000))
    assert answer.status == 504
    assert 0 < answer.json()["successful_rows"] == len(publisher.rows) < 20_000
    assert "stopping" in answer.error
    answer = await caller.post(FILE, ROW)
    assert answer.status == 503


async def test_f9_a_file_that_kafka_no_longer_takes_is_not_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = 0
    real = api.ingest.upload_rows.read_places

    def counting(*arguments: Any, **options: Any) -> Any:
        nonlocal read
        for place in real(*arguments, **options):
            read += 1
            yield place

    monkeypatch.setattr(api.ingest.upload_rows, "read_places", counting)
    for takes, status, text in (
        (7_000, 504, "rows 7000 are"),
        (0, 503, "nothing was"),
    ):
        read = 0
        caller = caller_for(tmp_path / str(takes), None, ScriptedPublisher(takes=takes))
        answer = await caller.post(FILE, lines_of([ROW] * 40_000))
        assert (answer.status, text in answer.error) == (status, True), answer.error
        assert ("of at least 1" in answer.error) == (takes > 0)
        assert read <= 4 < 40_000 // 5_000
        assert caller.services.spool.taken == 0
