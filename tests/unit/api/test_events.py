"""`POST /v0/events`: what each body becomes, and what each failure answers."""

import asyncio
import gzip
import hashlib
import json
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from api.http.content_encoding import Inflater
from api.ingest.body_rows import SLICE_ROWS, WINDOW_BYTES, split_rows
from api.view.followed_view import ViewState
from api.view.series_view import SeriesView
from producer.files.compression import INPUT_BYTES
from tests.api_doubles import (
    Caller,
    HandmadeLive,
    ScriptedPublisher,
    caller_for,
    changelog_chunk,
    counts,
    filled_view,
    transaction,
)
from tests.records import reading_value
from tests.series_records import commit, row
from tests.unit.api.test_series_view import copy_in

ROW = reading_value("device_7", "3106278102")
BAD_ROW = b'{"timestamp": 5}'
PRETTY = json.dumps(json.loads(ROW), indent=2).encode()


async def test_one_object_is_written_under_its_device(caller: Caller) -> None:
    assert counts(await caller.events(ROW)) == (202, 1, 0)
    assert caller.publisher.rows == [(b"device_7", ROW)]


async def test_b19_pretty_printed_object_is_one_row(caller: Caller) -> None:
    assert counts(await caller.events(PRETTY)) == (202, 1, 0)
    assert caller.publisher.rows == [(b"device_7", PRETTY)]


async def test_b22_cut_off_pretty_printed_object_writes_nothing(caller: Caller) -> None:
    assert (await caller.events(PRETTY[:-2])).status == 400
    assert not caller.publisher.rows
    assert not caller.publisher.refused


async def test_b11_line_ends_and_blank_lines_make_no_rows(caller: Caller) -> None:
    separator = reading_value("a", "1").replace(b"Kitchen", "K\u2028\u0085K".encode())
    body = b"\r\n\r\n" + ROW + b"\r\n\n \t\n" + separator + b"\n" * 1000 + ROW
    assert counts(await caller.events(body)) == (202, 3, 0)
    assert [value for _, value in caller.publisher.rows] == [ROW, separator, ROW]


@pytest.mark.parametrize("as_array", [False, True])
async def test_b12_b21_one_bad_row_of_ten_costs_itself(caller: Caller, as_array: bool) -> None:
    rows = [ROW] * 6 + [BAD_ROW] + [ROW] * 3
    body = b"[" + b" , ".join(rows) + b"]\n" if as_array else b"\n".join(rows)
    assert counts(await caller.events(body)) == (202, 9, 1)
    (refused,) = caller.publisher.refused
    assert refused["__value"] == BAD_ROW.decode()
    assert refused["__line"] == 7
    assert refused["c__import_id"]
    assert refused["__topic"] is None


@pytest.mark.parametrize(
    "row",
    [
        b'{"x":' * 100_000 + b"1" + b"}" * 100_000,
        reading_value("a", "1" * 5_000),
        reading_value("a", '"\\ud800"'),
        b"{" + b",".join(b'"k%d":1' % n for n in range(100_000)) + b"}",
    ],
    ids=["b4-deep", "b5-digits", "b17-surrogate", "b9-keys"],
)
@pytest.mark.parametrize("as_array", [False, True])
async def test_b4_b5_b9_b17_a_monstrous_row_is_quarantined_alone(
    caller: Caller, row: bytes, as_array: bool
) -> None:
    rows = [ROW, row, ROW]
    body = b"[" + b",".join(rows) + b"]" if as_array else b"\n".join(rows)
    assert counts(await caller.events(body)) == (202, 2, 1)


async def test_b4_what_is_too_deep_for_a_parser_is_an_element_alone(caller: Caller) -> None:
    deep = b"[" * 9_000 + b'{"x": 1}' + b"]" * 9_000
    body = b"[" + b" , ".join([ROW, deep, ROW, b'{"x":' * 9_000 + b"1" + b"}" * 9_000]) + b"]"
    assert counts(await caller.events(body)) == (202, 2, 2)


async def test_b4_a_deep_row_before_others_is_a_row_alone(caller: Caller) -> None:
    deep = b'{"x":' * 10_000 + b"1" + b"}" * 10_000
    assert counts(await caller.events(deep + b"\n" + ROW)) == (202, 1, 1)


async def test_refused_rows_of_one_body_have_one_import_id(caller: Caller) -> None:
    rows = SLICE_ROWS + 1
    assert counts(await caller.events(b"\n".join([BAD_ROW] * rows))) == (202, 0, rows)
    await caller.events(BAD_ROW)
    ids = [refused["c__import_id"] for refused in caller.publisher.refused]
    assert len(set(ids[:rows])) == 1
    assert ids[rows] != ids[0]


MARK = b"\xef\xbb\xbf"


@pytest.mark.parametrize(
    ("body", "rows"),
    [
        (MARK + ROW, 1),
        (MARK + PRETTY, 1),
        (MARK + b"\r\n".join([ROW, ROW]), 2),
        (MARK + b"[" + ROW + b",\n" + ROW + b"]", 2),
        (MARK + b"\n\n" + ROW + b"\n" + ROW, 2),
    ],
    ids=["c10-object", "c10-pretty", "c10-lines", "c10-array", "c10-blank-lines"],
)
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
async def test_c10_a_byte_order_mark_before_a_body_is_passed_over(
    caller: Caller, body: bytes, rows: int, compress: Callable[[bytes], bytes]
) -> None:
    coding = "identity" if compress is bytes else "gzip"
    answer = await caller.events(compress(body), content_encoding=coding)
    assert counts(answer) == (202, rows, 0)


@pytest.mark.parametrize("body", [MARK, MARK + b" \n"])
async def test_c10_a_body_of_a_byte_order_mark_is_empty(caller: Caller, body: bytes) -> None:
    assert (await caller.events(body)).status == 400


async def test_c10_a_byte_order_mark_elsewhere_is_named(caller: Caller) -> None:
    assert counts(await caller.events(ROW + b"\n" + MARK + ROW)) == (202, 1, 1)
    assert counts(await caller.events(MARK + MARK + ROW)) == (202, 0, 1)
    for refused in caller.publisher.refused:
        assert refused["c__error"] == ["not JSON: byte order mark (byte 0)"]
    assert (await caller.events(b"[" + ROW + b"," + MARK + ROW + b"]")).status == 400


@pytest.mark.parametrize(
    "row", [b'{"a": "' + "é".encode() * 300_000, b"[1]" * 200_000, b" " * 70_000 + ROW]
)
async def test_api_b25_a_line_of_any_length_is_refused_by_its_length_and_hashed(
    caller: Caller, row: bytes
) -> None:
    assert counts(await caller.events(b"\n".join([ROW, row, ROW]))) == (202, 2, 1)
    (refused,) = caller.publisher.refused
    assert refused["c__error"] == ["more than 65536 bytes"]
    assert refused["__line"] == 2
    assert refused["__value"].encode() == row[: len(refused["__value"].encode())]
    assert 65_536 - 2 < len(refused["__value"].encode()) <= 65_536
    assert refused["__value_length"] == len(row)
    assert refused["__value_sha256"] == hashlib.sha256(row).hexdigest()


@pytest.mark.parametrize("lines", [b"{", b"[", b"x", b"9"], ids=["object", "array", "x", "9"])
async def test_api_b25_lines_too_long_to_be_parsed_are_what_they_begin_as(
    caller: Caller, lines: bytes
) -> None:
    answer = await caller.events(b"\n".join([lines * 70_000] * 2).replace(b"[", b" [", 1))
    assert answer.status == (202 if lines == b"{" else 400)


async def test_api_b25_an_element_too_long_to_be_parsed_is_413(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = 200_000
    monkeypatch.setattr("api.ingest.body_rows.ELEMENT_BYTES", most)
    for element in (
        b'{"a": "' + b"x" * most + b'"}',
        b'{"a": [' + b"1," * (most // 2) + b"1]}",
        b'"' + b"x" * most,
        b" " * most + ROW,
    ):
        answer = await caller.events(b"[" + ROW + b"," + element + b"]")
        assert (answer.status, "element 2" in answer.json()["error"]) == (413, True)
    assert not caller.publisher.rows
    assert not caller.publisher.refused


@pytest.mark.parametrize(
    ("unit", "before", "behind"),
    [
        (b"x", b"", b"\n" + ROW),
        (b" ", b"", ROW),
        (b"\n", b"", ROW),
        (ROW + b",", b"[", ROW + b"]"),
        (b'{"a":[{}]},', b"[", ROW + b"]"),
    ],
    ids=["line", "blanks", "lines", "array", "nested"],
)
async def test_api_b25_others_get_their_turn_whatever_is_split(
    unit: bytes, before: bytes, behind: bytes
) -> None:
    body = before + unit * (700_000 // len(unit)) + behind
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.ensure_future(others())
    async for _ in split_rows(body):
        pass
    task.cancel()
    assert turns > len(body) / WINDOW_BYTES / 2


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress])
@pytest.mark.parametrize("content", [b"", b"x"])
async def test_api_b26_many_members_give_others_their_turn(
    compress: Callable[[bytes], bytes], content: bytes
) -> None:
    coding = "gzip" if compress is gzip.compress else "zstd"
    reader = Inflater([coding])
    members = compress(content) * 16_000
    pieces = list(reader.feed(members))
    reader.finish()
    assert b"".join(pieces) == content * 16_000
    assert len(pieces) == -(-len(members) // INPUT_BYTES)


async def test_b7_nan_is_quarantined(caller: Caller) -> None:
    body = ROW + b"\n" + reading_value("a", "NaN")
    assert counts(await caller.events(body)) == (202, 1, 1)


async def test_b6_a_byte_that_is_not_utf8_writes_nothing(caller: Caller) -> None:
    answer = await caller.events([ROW + b"\n", b'{"a": "\xff"}\n', ROW])
    assert answer.status == 400
    assert f"byte {len(ROW) + 8}" in answer.error
    assert not caller.publisher.rows


@pytest.mark.parametrize("body", [b"\xc3", ROW + b"\n\xed\xa0\x80", b"\xc0\x80"])
async def test_b6_utf8_cut_or_wrong_is_400(caller: Caller, body: bytes) -> None:
    assert (await caller.events(body)).status == 400


@pytest.mark.parametrize("content_type", ["text/plain; charset=utf-16", "image/png", ""])
async def test_b15_content_type_is_ignored(caller: Caller, content_type: str) -> None:
    assert counts(await caller.events(ROW, content_type=content_type)) == (202, 1, 0)


@pytest.mark.parametrize("percent", range(0, 100, 10))
async def test_b16_a_body_cut_off_by_the_client_writes_nothing(
    caller: Caller, percent: int
) -> None:
    body = b"\n".join([ROW] * 10)
    pieces = [body[: len(body) * percent // 100]]
    answer = await caller.request(
        "POST", "/v0/events?name=energy_consumption", body=pieces, is_cut_off=True
    )
    assert answer.status == 0
    assert not caller.publisher.rows
    assert caller.services.bodies.taken == 0


@pytest.mark.parametrize("body", [b"", b" ", b"\n\r\n\t \n"])
async def test_b20_a_blank_body_is_400(caller: Caller, body: bytes) -> None:
    assert (await caller.events(body)).status == 400


@pytest.mark.parametrize("body", [b"[]", b" [ \n] \n"])
async def test_b20_an_empty_array_writes_nothing(caller: Caller, body: bytes) -> None:
    assert counts(await caller.events(body)) == (202, 0, 0)


@pytest.mark.parametrize("line", [b"5", b"null", b"[1]", b'"x"', b"{broken"])
async def test_b20_a_line_that_is_no_object_is_quarantined(caller: Caller, line: bytes) -> None:
    assert counts(await caller.events(ROW + b"\n" + line)) == (202, 1, 1)


@pytest.mark.parametrize("line", [b"5", b"null", b"{broken", BAD_ROW])
async def test_one_broken_line_alone_is_quarantined(caller: Caller, line: bytes) -> None:
    assert counts(await caller.events(line)) == (202, 0, 1)


async def test_several_lines_without_an_object_write_nothing(caller: Caller) -> None:
    answer = await caller.events(b"name,total\n\ndevice_7,5\n")
    assert answer.status == 400
    assert not caller.publisher.refused


@pytest.mark.parametrize(
    "body",
    [
        b"[",
        b"[1",
        b"[1,]",
        b"[,1]",
        b"[1 2]",
        b"[1]x",
        b"[]]",
        b'["\n]',
        b"[{}}]",
        b"[NaN]",
        b"[" + ROW + b"," + ROW,
        b"[" + ROW + ROW + b"]",
        b"[01]",
        b'[{"a":[1}]}]',
        b"[" + b"[" * 70 + b"01" + b"]" * 70 + b"," + ROW + b"]",
        b"[" + b"[" * 9_000 + b"]" * 9_000 + b" 5," + ROW + b"]",
        b"[" + b"[" * 9_000 + b"]" * 9_000 + b",01," + ROW + b"]",
    ],
)
async def test_what_begins_as_an_array_and_is_none_writes_nothing(
    caller: Caller, body: bytes
) -> None:
    assert (await caller.events(body)).status == 400
    assert not caller.publisher.refused


async def test_a_broken_array_behind_many_good_elements_writes_nothing(caller: Caller) -> None:
    body = b"[" + b",".join([ROW] * 20_000) + b",}]"
    assert (await caller.events(body)).status == 400
    assert not caller.publisher.rows
    assert caller.services.bodies.taken == 0


CODINGS = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstandard.compress,
    "x-gzip": gzip.compress,
    "GZIP": gzip.compress,
    "identity": bytes,
}


@pytest.mark.parametrize("coding", CODINGS)
async def test_a_compressed_body_is_inflated(caller: Caller, coding: str) -> None:
    body = CODINGS[coding](b"\n".join([ROW] * 5_000))
    pieces = [body[start : start + 777] for start in range(0, len(body), 777)]
    assert counts(await caller.events(pieces, content_encoding=coding)) == (202, 5_000, 0)


@pytest.mark.parametrize("coding", ["gzip", "zstd", "deflate"])
async def test_b23_all_members_count(caller: Caller, coding: str) -> None:
    body = CODINGS[coding](ROW + b"\n") + CODINGS[coding](ROW)
    assert counts(await caller.events(body, content_encoding=coding)) == (202, 2, 0)


async def test_a_bare_deflate_body_is_understood(caller: Caller) -> None:
    packer = zlib.compressobj(wbits=-15)
    body = packer.compress(ROW) + packer.flush()
    assert counts(await caller.events(body, content_encoding="deflate")) == (202, 1, 0)


@pytest.mark.parametrize("coding", ["gzip", "zstd", "deflate"])
@pytest.mark.parametrize("harm", ["cut", "empty", "plain", "tail"])
async def test_b23_a_damaged_compressed_body_writes_nothing(
    caller: Caller, coding: str, harm: str
) -> None:
    whole = CODINGS[coding](b"\n".join([ROW] * 100))
    body = {"cut": whole[:-3], "empty": b"", "plain": ROW, "tail": whole + b"xyz"}[harm]
    assert (await caller.events(body, content_encoding=coding)).status == 400
    assert not caller.publisher.rows


async def test_b23_a_bad_checksum_writes_nothing(caller: Caller) -> None:
    body = bytearray(gzip.compress(ROW))
    body[-6] ^= 1
    assert (await caller.events(bytes(body), content_encoding="gzip")).status == 400
    assert not caller.publisher.rows


@pytest.mark.parametrize("coding", ["br", "gzip, gzip", "\x80", "", "gzip;q=1"])
async def test_b23_an_unknown_coding_is_400(caller: Caller, coding: str) -> None:
    assert (await caller.events(gzip.compress(ROW), content_encoding=coding)).status == 400


async def test_b1_b3_a_body_over_the_limit_is_413(tmp_path: Path) -> None:
    publisher = ScriptedPublisher()
    caller = caller_for(tmp_path, None, publisher, max_body_bytes=len(ROW))
    assert (await caller.events(ROW)).status == 202
    assert (await caller.events([ROW, b"\n"])).status == 413
    lying = await caller.events(ROW, content_length=str(len(ROW) + 1))
    assert lying.status == 413
    assert len(publisher.rows) == 1


@pytest.mark.parametrize("length", ["9" * 30, "10000001"])
async def test_b1_a_length_over_the_limit_is_refused_unread(caller: Caller, length: str) -> None:
    assert (await caller.events(ROW, content_length=length)).status == 413


@pytest.mark.parametrize("coding", ["gzip", "zstd", "deflate"])
async def test_b2_a_bomb_is_413_and_never_buffered(tmp_path: Path, coding: str) -> None:
    caller = caller_for(tmp_path, None, max_inflated_bytes=3_000_000)
    bomb = CODINGS[coding](b" " * 20_000_000)
    assert len(bomb) < 100_000
    answer = await caller.events(bomb, content_encoding=coding)
    assert answer.status == 413
    assert caller.services.bodies.taken == 0


async def test_a_large_body_is_spooled_and_counted_the_same(caller: Caller) -> None:
    rows = [reading_value(f"device_{n}", str(n)) for n in range(30_000)]
    body = b"\n".join(rows)
    pieces = [body[start : start + 65_536] for start in range(0, len(body), 65_536)]
    assert counts(await caller.events(pieces)) == (202, 30_000, 0)
    assert [value for _, value in caller.publisher.rows] == rows
    assert not list(caller.services.spool_directory.iterdir())


async def test_more_bodies_than_fit_together_are_503(tmp_path: Path) -> None:
    caller = caller_for(tmp_path, None, max_bodies_bytes=len(ROW))
    assert (await caller.events(ROW)).status == 202
    answer = await caller.events(ROW + b"\n")
    assert answer.status == 503
    assert "retry-after" in answer.headers
    assert (await caller.events(ROW)).status == 202


async def test_h39_a_body_that_does_not_come_is_given_up(tmp_path: Path) -> None:
    publisher = ScriptedPublisher()
    caller = caller_for(tmp_path, None, publisher, body_timeout_seconds=0.1)

    async def never() -> dict[str, object]:
        await asyncio.sleep(60)
        return {}

    sent: list[dict[str, object]] = []

    async def send(message: object) -> None:
        sent.append(message)  # type: ignore[arg-type]

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": "/v0/events",
        "raw_path": b"/v0/events",
        "root_path": "",
        "query_string": b"name=energy_consumption",
        "headers": [(b"host", b"x"), (b"authorization", b"Bearer " + str(caller.token).encode())],
    }
    await caller.app(scope, never, send)
    assert sent[0]["status"] == 408
    assert not publisher.rows


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 400),
        ("?name=", 400),
        ("?name=energy_consumption&name=energy_consumption", 400),
        ("?name=other", 404),
        ("?name=energy_consumption&wait=maybe", 400),
        ("?name=energy_consumption&format=xml", 400),
        ("?name=energy_consumption&colour=red", 400),
        ("?name=%zz", 400),
        ("?name=%ff", 400),
        ("?name=energy_consumption&format=ndjson&wait=false&from=x&__tb__semver=1", 202),
        ("?name=energy_consumption&cli_version=1&format=json", 202),
    ],
)
async def test_b26_h53_parameters(caller: Caller, query: str, status: int) -> None:
    assert (await caller.post(f"/v0/events{query}", ROW)).status == status


async def test_hostile_names_are_escaped_and_cut(caller: Caller) -> None:
    answer = await caller.post("/v0/events?name=%1b%5b31m" + "x" * 1000, ROW)
    assert answer.status == 404
    assert "\x1b" not in answer.error
    assert len(answer.error) < 200


async def test_b13_the_same_body_twice_counts_twice(caller: Caller) -> None:
    for _ in range(2):
        assert counts(await caller.events(ROW)) == (202, 1, 0)
    assert len(caller.publisher.rows) == 2


async def test_b25_kafka_gone_before_the_first_row_is_503(tmp_path: Path) -> None:
    caller = caller_for(tmp_path, None, ScriptedPublisher(takes=0))
    answer = await caller.events(b"\n".join([ROW] * 3))
    assert answer.status == 503
    assert answer.headers["retry-after"]


async def test_b25_kafka_gone_in_mid_body_is_504_with_counts(tmp_path: Path) -> None:
    caller = caller_for(tmp_path, None, ScriptedPublisher(takes=1_500, unknown=100))
    answer = await caller.events(b"\n".join([ROW] * 1_200 + [BAD_ROW] * 800))
    assert answer.status == 504
    content = answer.json()
    assert content["successful_rows"] == 1_200
    assert content["quarantined_rows"] == 300
    assert content["unknown_rows"] == 100


async def test_b25_one_unknown_row_is_504(tmp_path: Path) -> None:
    caller = caller_for(tmp_path, None, ScriptedPublisher(takes=0, unknown=1))
    answer = await caller.events(ROW)
    assert answer.status == 504
    assert answer.json()["unknown_rows"] == 1


async def test_wait_answers_200_once_reads_show_the_row(tmp_path: Path) -> None:
    view = await filled_view({"device_7": (1, 1)}, applied_offset=4)
    caller = caller_for(tmp_path, view, ScriptedPublisher(first_offset=5))
    waiting = asyncio.create_task(caller.events(ROW, "&wait=true"))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await view.apply(changelog_chunk(transaction({"device_7": (9, 2)}, 5), start=2))
    assert counts(await waiting) == (200, 1, 0)


async def test_wait_all_answers_once_reads_of_the_series_show_it_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    series = SeriesView(1, 1, copy_in(tmp_path))
    await series.resume()
    series.become(ViewState.RUNNING)
    monkeypatch.setattr(HandmadeLive, "series_view", series)
    view = await filled_view({"device_7": (1, 1)}, applied_offset=5)
    caller = caller_for(tmp_path, view, ScriptedPublisher(first_offset=5))
    assert counts(await caller.events(ROW, "&wait=true")) == (200, 1, 0)
    waiting = asyncio.create_task(caller.events(ROW, "&wait=all"))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await series.apply(changelog_chunk(commit([row("device_7", 1)], 5)))
    await series.merge()
    assert counts(await waiting) == (200, 1, 0)
    await series.copy.close()


async def test_wait_all_is_wait_true_where_there_is_no_series(tmp_path: Path) -> None:
    view = await filled_view({"device_7": (1, 1)}, applied_offset=5)
    caller = caller_for(tmp_path, view, ScriptedPublisher(first_offset=5))
    assert counts(await caller.events(ROW, "&wait=all")) == (200, 1, 0)


async def test_wait_answers_202_when_it_takes_too_long(tmp_path: Path) -> None:
    view = await filled_view({"device_7": (1, 1)}, applied_offset=4)
    publisher = ScriptedPublisher(first_offset=5)
    caller = caller_for(tmp_path, view, publisher, wait_timeout_seconds=0.1)
    assert counts(await caller.events(ROW, "&wait=true")) == (202, 1, 0)


async def test_wait_goes_on_when_another_view_takes_over(tmp_path: Path) -> None:
    view = await filled_view({"device_7": (1, 1)}, applied_offset=4)
    caller = caller_for(tmp_path, view, ScriptedPublisher(first_offset=5))
    waiting = asyncio.create_task(caller.events(ROW, "&wait=true"))
    await asyncio.sleep(0.02)
    following = await filled_view({"device_7": (9, 2)}, applied_offset=5)
    caller.services.live.placed = following  # type: ignore[attr-defined]
    view.become(ViewState.CATCHING_UP)
    view.retire()
    assert counts(await waiting) == (200, 1, 0)


async def test_wait_for_refused_rows_only_does_not_wait(tmp_path: Path) -> None:
    caller = caller_for(tmp_path, None, ScriptedPublisher())
    assert counts(await caller.events(BAD_ROW, "&wait=true")) == (200, 0, 1)


async def test_without_a_producer_events_are_503(tmp_path: Path) -> None:
    caller = caller_for(tmp_path, None)
    caller.services.publisher = None
    answer = await caller.events(ROW)
    assert answer.status == 503
    assert answer.headers["retry-after"]


async def test_append_scope_is_needed(tmp_path: Path) -> None:
    publisher = ScriptedPublisher()
    caller = caller_for(tmp_path, None, publisher, scope="PIPES:READ:*")
    assert (await caller.events(ROW)).status == 403
    assert not publisher.rows


async def test_x57_a_client_that_cannot_be_made_is_told_by_ready(tmp_path: Path) -> None:
    publisher = ScriptedPublisher(problem="Kafka's client cannot be made: no password file")
    caller = caller_for(tmp_path, await filled_view({"a": (1, 1)}), publisher)
    answer = await caller.get("/ready")
    assert answer.status == 503
    assert answer.json()["reasons"] == [publisher.problem]
    publisher.problem = None
    assert (await caller.get("/ready")).status == 200
