"""`/v0/datasources`: files over HTTP, and what each failure answers."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.api_doubles import Caller, ScriptedPublisher, caller_for, counts, filled_view

TARGET = "/v0/datasources?name=energy_consumption&mode=append"
V1 = "/v1/datasources/energy_consumption/append"
CSV = (
    b"timestamp,device_id,energy_consumed,location\n"
    b"2025-04-30 10:11:21,d1,5,x\n2025-04-30 10:11:21,d1,five,x\n2025-04-30 10:11:21,d2,7,x\n"
)
ROW = b'{"timestamp":"2025-04-30 10:11:21","device_id":"d1","energy_consumed":5,"location":"x"}'


def form(data: bytes, field: str = "csv", file: str = "a/readings.csv") -> bytes:
    head = f'--b\r\nContent-Disposition: form-data; name="{field}"; filename="{file}"\r\n\r\n'
    return head.encode() + data + b"\r\n--b--\r\n"


MULTIPART = {"content-type": "multipart/form-data; boundary=b"}


async def test_csv_raw_and_in_a_form_with_file_and_line_of_bad_rows(caller: Caller) -> None:
    assert counts(await caller.post(TARGET, CSV)) == (200, 2, 1)
    assert counts(await caller.post(V1, [CSV[:50], CSV[50:]])) == (200, 2, 1)
    body = form(CSV)
    pieces = [body[start : start + 7] for start in range(0, len(body), 7)]
    answer = await caller.post(TARGET + "&format=csv", pieces, **MULTIPART)
    assert counts(answer) == (200, 2, 1)
    assert [key for key, _ in caller.publisher.rows] == [b"d1", b"d2"] * 3
    refused = caller.publisher.refused[-1]
    assert (refused["__file"], refused["__line"]) == ("readings.csv", 3)
    assert refused["c__import_id"] == answer.json()["import_id"]


async def test_other_formats_and_compressed(caller: Caller) -> None:
    body = form(b"\n".join([ROW] * 3), file="a.ndjson")
    assert counts(await caller.post(TARGET, body, **MULTIPART)) == (200, 3, 0)
    zipped = gzip.compress(ROW) + gzip.compress(b"\n" + ROW)
    assert counts(await caller.post(TARGET + "&format=ndjson", zipped)) == (200, 2, 0)
    buffer = io.BytesIO()
    columns = {"timestamp": ["2025-04-30 10:11:21"], "device_id": ["d"], "location": ["x"]}
    pq.write_table(pa.table({**columns, "energy_consumed": [0.1]}), buffer)
    assert counts(await caller.post(TARGET + "&format=parquet", buffer.getvalue())) == (200, 1, 0)
    assert b"0.1" in caller.publisher.rows[-1][1]
    text = CSV.replace(b",", b";")
    assert counts(await caller.post(TARGET + "&dialect_delimiter=%3B", text)) == (200, 2, 1)
    assert counts(await caller.post(TARGET, form(b""), **MULTIPART)) == (200, 0, 0)


@pytest.mark.parametrize(
    ("target", "body", "status"),
    [
        (TARGET + "&url=http://169.254.169.254/", b"", 400),
        (TARGET + "&url=file:///etc/passwd", b"", 400),
        (TARGET, b"url=http%3A%2F%2F169.254.169.254%2F", 400),
        (TARGET.replace("append", "replace"), CSV, 400),
        (TARGET + "&format=xml", CSV, 400),
        (TARGET, b"", 400),
        (TARGET + "&dialect_escapechar=,", CSV, 400),
        (TARGET + "&dialect_delimiter=ab", CSV, 400),
        ("/v0/datasources?mode=append", CSV, 400),
        ("/v0/datasources?name=other", CSV, 404),
        (TARGET + "&format=parquet", CSV, 400),
        (TARGET + "&format=ndjson", CSV, 400),
        (TARGET, gzip.compress(CSV, mtime=0)[:-5], 400),
        (TARGET, CSV.replace(b"location", b"place"), 400),
    ],
)
async def test_h54_f15_what_cannot_be_is_refused_and_writes_nothing(
    caller: Caller, target: str, body: bytes, status: int
) -> None:
    assert (await caller.post(target, body)).status == status
    assert caller.publisher.rows == caller.publisher.refused == []


NDJSON_TYPE = {"content-type": "application/x-ndjson"}
SPACED = ROW.replace(b",", b", ").replace(b":", b": ", 1)
PRETTY = b"[\n  " + SPACED + b",\n  " + SPACED + b"\n]\n"


@pytest.mark.parametrize(
    ("body", "headers", "rows"),
    [
        (SPACED + b"\n" + SPACED, {}, 2),
        (SPACED + b"\n" + SPACED, {"content-type": "application/x-www-form-urlencoded"}, 2),
        (SPACED + b"\r\n", NDJSON_TYPE, 1),
        (b"\xef\xbb\xbf" + SPACED, NDJSON_TYPE | {"content-type": "text/csv"}, 1),
        (PRETTY, {}, 2),
        (PRETTY, {"content-type": "application/json; charset=utf-16"}, 2),
        (gzip.compress(PRETTY, mtime=0), {}, 2),
        (CSV, {"content-type": "text/plain"}, 2),
        (form(PRETTY, file="a.json"), MULTIPART, 2),
        (form(PRETTY, file="a.txt"), MULTIPART, 2),
        (b"Timestamp,Device_ID,ENERGY_CONSUMED, location\n" + CSV.split(b"\n")[1] + b"\n", {}, 1),
    ],
)
async def test_b6_c3_c10_what_an_upload_is_is_seen_from_type_and_first_bytes(
    caller: Caller,
    publisher: ScriptedPublisher,
    body: bytes,
    headers: dict[str, str],
    rows: int,
) -> None:
    answer = await caller.post(TARGET, body, **headers)
    assert (answer.status, answer.json()["successful_rows"]) == (200, rows)
    assert len(caller.publisher.rows) == rows


async def test_b6_c9_parquet_needs_no_name_and_may_be_compressed(caller: Caller) -> None:
    columns = {"timestamp": ["2025-04-30 10:11:21"], "device_id": ["d"], "location": ["x"]}
    table = pa.table({**columns, "energy_consumed": [0.1]})
    pq.write_table(table, buffer := io.BytesIO())
    for data in (buffer.getvalue(), gzip.compress(buffer.getvalue())):
        assert counts(await caller.post(TARGET, data)) == (200, 1, 0)
    cut = gzip.compress(buffer.getvalue())[:-9]
    assert (await caller.post(TARGET, cut)).status == 400
    assert len(caller.publisher.rows) == 2


@pytest.mark.parametrize(
    ("query", "body", "headers", "words"),
    [
        ("", b"Time,Room,Energy,Meter\n2025-04-30 10:00:00,Kitchen,1.5,m\n", {}, "Time,Room"),
        ("", CSV.replace(b",5,", b",5 kWh,").replace(b",7,", b",,"), {}, "energy_consumed"),
        ("", PRETTY[:-4], {}, "broken at element 2"),
        ("&format=csv", ROW, {}, "looks like JSON objects"),
        ("", CSV, NDJSON_TYPE, "looks like CSV"),
        ("", b"<html>\n<p>502</p>\n</html>", {}, "HTML"),
        ("", b"PK\x03\x04" + bytes(99), {}, "Excel"),
        ("&format=ndjson", b"{}\n{}\n", {}, "none of its 2 rows is a reading"),
    ],
)
async def test_c2_c3_c4_what_counts_nothing_is_400_with_reasons_and_writes_nothing(
    caller: Caller,
    publisher: ScriptedPublisher,
    query: str,
    body: bytes,
    headers: dict[str, str],
    words: str,
) -> None:
    answer = await caller.post(TARGET + query, body, **headers)
    assert (answer.status, words in answer.json()["error"]) == (400, True), answer.json()
    assert caller.publisher.rows == caller.publisher.refused == []


async def test_a_file_ends_behind_its_10_000th_refused_row_with_its_counts(caller: Caller) -> None:
    body = ROW + b"\n" + b"{}\n" * 10_001 + ROW
    assert counts(await caller.post(TARGET, body)) == (400, 1, 10_000)
    assert len(caller.publisher.refused) == 10_000
    assert counts(await caller.post(TARGET, ROW + b"\n" + b"{}\n" * 10_000)) == (200, 1, 10_000)


@pytest.mark.parametrize(
    ("body", "header"),
    [
        (form(CSV, field="other"), MULTIPART["content-type"]),
        (form(CSV)[:-10], MULTIPART["content-type"]),
        (b"x" + form(CSV), MULTIPART["content-type"]),
        (form(CSV), "multipart/form-data"),
    ],
)
async def test_b27_a_form_without_a_whole_file_is_refused(
    caller: Caller, body: bytes, header: str
) -> None:
    assert (await caller.post(TARGET, body, **{"content-type": header})).status == 400
    assert caller.publisher.rows == []


async def test_a_file_over_the_limit_is_413(tmp_path: Path, publisher: ScriptedPublisher) -> None:
    caller = caller_for(tmp_path, None, publisher, max_upload_bytes=100)
    assert (await caller.post(TARGET, CSV)).status == 413
    assert (await caller.post(TARGET, [CSV[:60], CSV[60:]])).status == 413
    assert publisher.rows == []


async def test_a_parquet_file_with_a_broken_page_tells_what_is_written(caller: Caller) -> None:
    row = {"timestamp": "2025-04-30 10:11:21", "device_id": "d1", "energy_consumed": 5.0}
    file = io.BytesIO()
    rows = [row | {"location": f"place {number}"} for number in range(20_000)]
    pq.write_table(pa.Table.from_pylist(rows), file, row_group_size=10_000)
    second = pq.read_metadata(file).row_group(1).column(0).data_page_offset
    broken = bytearray(file.getvalue())
    broken[second : second + 64] = b"\xff" * 64
    answer = await caller.post(TARGET + "&format=parquet", bytes(broken))
    assert counts(answer) == (400, 10_000, 0)
    assert "the 10000 rows before it were written" in answer.json()["error"]
    assert len(caller.publisher.rows) == 10_000


async def test_kafka_that_stops_in_the_middle_is_503_or_504(tmp_path: Path) -> None:
    for takes, status in ((0, 503), (1, 504)):
        caller = caller_for(tmp_path / str(takes), None, ScriptedPublisher(takes=takes))
        assert (await caller.post(TARGET, CSV)).status == status


async def test_schema_and_row_counts(tmp_path: Path) -> None:
    view = await filled_view({"a": (1, 1), "b": (2, 1)}, {"c": (3, 1)})
    caller = caller_for(tmp_path / "running", view, ScriptedPublisher())
    one = (await caller.get("/v0/datasources/energy_consumption")).json()
    assert one["statistics"] == {"row_count": 3, "quarantined_row_count": 0}
    assert [column["name"] for column in one["columns"]][:2] == ["timestamp", "device_id"]
    assert (await caller.get("/v0/datasources")).json() == {"datasources": [one]}
    assert (await caller_for(tmp_path / "loading", None).get("/v0/datasources")).status == 503
