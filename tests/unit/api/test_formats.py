"""The listing in every format, read back by readers that are not ours; and asked for by POST."""

import csv
import io
import json
import threading
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlencode

import jsonschema_rs
import msgspec
import pyarrow.parquet
import pytest
from prometheus_client.parser import text_string_to_metric_families

from api.query.formats import catalogue, parquet
from api.query.formats.parquet import GROUP_ROWS, ParquetRows
from api.query.formats.writer import Summary
from api.query.table import Table
from tests.api_doubles import Answer, Caller, Totals, caller_for, filled_view

PIPE = "/v0/pipes/energy_consumption_by_device"
FORMATS = ["json", "csv", "csvwithnames", "ndjson", "parquet", "prometheus"]
HOSTILE = [
    "=1+1",
    'a"b',
    '"',
    "a,b",
    "a\\",
    "\\N",
    " a ",
    'a}b{c="d"} 5',
    "\N{RIGHT-TO-LEFT OVERRIDE}x",
    "\N{LINE SEPARATOR}",
    "<script>",
    "é",
    "\N{GRINNING FACE}",
    "null",
]
HUGE = 10**308

Rows = list[tuple[str, float | None]]


@pytest.fixture
async def caller(tmp_path: Path) -> Caller:
    totals = {name: (number, 1) for number, name in enumerate(HOSTILE)}
    return caller_for(tmp_path, await filled_view(totals))


def read(form: str, body: bytes) -> Rows:
    """The rows of an answer, as somebody else's program reads them."""
    if form == "json":
        return [tuple(row.values()) for row in json.loads(body)["data"]]
    if form == "ndjson":
        return [tuple(json.loads(line).values()) for line in body.decode().split("\n") if line]
    if form == "parquet":
        return [tuple(row.values()) for row in table(body).to_pylist()]
    if form == "prometheus":
        (family,) = text_string_to_metric_families(body.decode())
        assert (family.name, family.type) == ("total_energy_consumed", "gauge")
        return [(sample.labels["device_id"], sample.value) for sample in family.samples]
    rows = list(csv.reader(io.StringIO(body.decode(), newline="")))
    if form == "csvwithnames":
        assert rows.pop(0) == ["device_id", "total_energy_consumed"]
    return [(name, None if total == r"\N" else float(total)) for name, total in rows]


def table(body: bytes) -> pyarrow.Table:
    return pyarrow.parquet.read_table(io.BytesIO(body))


@pytest.mark.parametrize("form", FORMATS)
async def test_k38_hostile_ids_come_back_verbatim(caller: Caller, form: str) -> None:
    answer = await caller.get(f"{PIPE}.{form}")
    assert dict(read(form, answer.body)) == {name: n for n, name in enumerate(HOSTILE)}


@pytest.mark.parametrize(
    ("form", "media_type"),
    [
        ("json", "application/json"),
        ("csv", "text/csv; charset=utf-8"),
        ("csvwithnames", "text/csv; charset=utf-8"),
        ("ndjson", "application/x-ndjson"),
        ("parquet", "application/vnd.apache.parquet"),
        ("prometheus", "text/plain; version=0.0.4; charset=utf-8"),
    ],
)
async def test_a_format_is_named_in_the_content_type(
    caller: Caller, form: str, media_type: str
) -> None:
    for query in ("", "?limit=1"):
        answer = await caller.get(f"{PIPE}.{form}{query}")
        assert answer.headers["content-type"] == media_type
        assert answer.headers["x-applied-offsets"] == "0:9"


async def test_text_formats_are_quoted_as_clickhouse_does(tmp_path: Path) -> None:
    totals: Totals = {'a"\\': (Decimal("0.5"), 1), "b": (-3, 1), "c": (10**20, 1), "d": (HUGE, 1)}
    caller = caller_for(tmp_path, await filled_view(totals, {"d": (HUGE, 1)}))

    async def lines(form: str) -> list[str]:
        return (await caller.get(f"{PIPE}.{form}")).body.decode().split("\n")

    rows = ['"a""\\",0.5', '"b",-3', '"c",1e+20', r'"d",\N', ""]
    assert await lines("csv") == rows
    assert await lines("csvwithnames") == ['"device_id","total_energy_consumed"', *rows]
    assert (await lines("ndjson"))[1] == '{"device_id":"b","total_energy_consumed":-3}'
    assert (await lines("prometheus"))[2:4] == [
        r'total_energy_consumed{device_id="a\"\\"} 0.5',
        'total_energy_consumed{device_id="b"} -3',
    ]


@pytest.mark.parametrize("form", FORMATS)
async def test_k20_a_total_beyond_float64_is_nothing_in_every_format(
    tmp_path: Path, form: str
) -> None:
    caller = caller_for(tmp_path, await filled_view({"a": (HUGE, 1)}, {"a": (HUGE, 1)}))
    ((device_id, total),) = read(form, (await caller.get(f"{PIPE}.{form}")).body)
    assert device_id == "a"
    assert total != total if form == "prometheus" else total is None


@pytest.mark.parametrize("form", FORMATS)
async def test_h22_no_rows_are_a_whole_answer(caller: Caller, form: str) -> None:
    answer = await caller.get(f"{PIPE}.{form}?limit=0")
    assert answer.status == 200
    if form == "prometheus":
        assert answer.body.count(b"\n") == 2
    else:
        assert read(form, answer.body) == []


@pytest.mark.parametrize("form", FORMATS)
async def test_a_long_listing_comes_in_pieces_and_is_the_same_in_every_format(
    tmp_path: Path, form: str
) -> None:
    totals = {f"device_{n:05}": (n - 7, 1) for n in range(2 * GROUP_ROWS + 1)}
    caller = caller_for(tmp_path, await filled_view(totals))
    answer = await caller.get(f"{PIPE}.{form}")
    assert answer.pieces > 3
    assert len(answer.body) / answer.pieces < 500_000
    assert read(form, answer.body) == [(name, total) for name, (total, _) in totals.items()]


async def test_parquet_has_typed_columns_and_row_groups(tmp_path: Path) -> None:
    totals = {f"device_{n:05}": (n, 1) for n in range(2 * GROUP_ROWS + 1)}
    caller = caller_for(tmp_path, await filled_view(totals))
    body = (await caller.get(f"{PIPE}.parquet")).body
    schema = table(body).schema
    assert [(each.name, str(each.type), each.nullable) for each in schema] == [
        ("device_id", "string", False),
        ("total_energy_consumed", "double", True),
    ]
    metadata = pyarrow.parquet.read_metadata(io.BytesIO(body))
    groups = [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)]
    assert len(groups) >= 2
    assert max(groups) < 2 * GROUP_ROWS


@pytest.mark.parametrize("form", FORMATS)
async def test_an_unchanged_listing_is_304_and_head_has_no_body_in_every_format(
    caller: Caller, form: str
) -> None:
    tag = (await caller.get(f"{PIPE}.{form}")).headers["etag"]
    assert (await caller.get(f"{PIPE}.{form}", if_none_match=tag)).status == 304
    assert (await caller.request("HEAD", f"{PIPE}.{form}")).headers["etag"] == tag


async def post(caller: Caller, target: str, form: object, **headers: str) -> Answer:
    body = urlencode(form, doseq=True).encode()  # type: ignore[arg-type]
    return await caller.post(
        target, body, content_type="application/x-www-form-urlencoded", **headers
    )


@pytest.mark.parametrize("form", FORMATS)
async def test_post_with_a_form_is_answered_as_get_is(caller: Caller, form: str) -> None:
    fields = {"device_id": ["é", 'a"b,=1+1'], "order_by": "-device_id", "limit": "2"}
    answer = await post(caller, f"{PIPE}.{form}", fields)
    assert [name for name, _ in read(form, answer.body)] == ["é", 'a"b']


async def test_form_and_query_add_up(caller: Caller) -> None:
    answer = await post(caller, f"{PIPE}?limit=1", {"offset": 1, "from": "sdk"})
    assert [row["device_id"] for row in answer.json()["data"]] == [sorted(HOSTILE)[1]]
    twice = await post(caller, f"{PIPE}?limit=1", {"limit": 1})
    assert twice.status == 400
    assert "limit" in twice.error


@pytest.mark.parametrize("field", ["limit=x", "colour=red", "device_id=%00", "%ZZ", "limit=1\nx"])
async def test_h26_a_bad_form_is_400(caller: Caller, field: str) -> None:
    answer = await caller.post(PIPE, field.encode())
    assert answer.status == 400
    assert answer.error


@pytest.mark.parametrize("media_type", ["multipart/form-data; boundary=x", "application/json"])
async def test_a_body_that_is_no_such_form_is_400(caller: Caller, media_type: str) -> None:
    answer = await caller.post(PIPE, b"{}", content_type=media_type)
    assert answer.status == 400
    assert "x-www-form-urlencoded" in answer.error


async def test_a_form_without_fields_is_all_rows(caller: Caller) -> None:
    for body in (b"", b"\n"):
        answer = await caller.post(PIPE, body)
        assert answer.json()["rows"] == len(HOSTILE)


async def test_a_large_form_is_413(caller: Caller) -> None:
    assert (await caller.post(PIPE, b"device_id=" + b"a" * 300_000)).status == 413


async def test_a_long_list_of_devices_is_answered(tmp_path: Path) -> None:
    totals = {f"d{n:05}": (n, 1) for n in range(9_000)}
    caller = caller_for(tmp_path, await filled_view(totals))
    asked = ",".join([*totals, "unknown"])
    for order in ("device_id", "total_energy_consumed"):
        answer = await post(caller, PIPE, {"device_id": asked, "order_by": order})
        assert [row["device_id"] for row in answer.json()["data"]] == list(totals)
        assert answer.json()["rows_before_limit_at_least"] == 9_000


async def test_a_stranger_s_form_is_not_read(caller: Caller) -> None:
    good = caller.token
    caller.token = None
    assert (await caller.post(PIPE, f"token={good}".encode())).status == 403
    assert (await caller.post(f"{PIPE}?token={good}", b"limit=1")).status == 200


async def test_a_posted_question_is_answered_whole_whatever_was_seen(caller: Caller) -> None:
    answer = await post(caller, PIPE, {"limit": 1}, **{"if-none-match": "*"})
    assert (answer.status, answer.json()["rows"]) == (200, 1)


class Place(msgspec.Struct):
    location: str
    total_energy_consumed: float | None
    exact: str | None
    readings: int


def test_a_line_feed_in_a_label_is_escaped_and_text_behind_the_number_is_no_label() -> None:
    kinds = ("String", "Nullable(Float64)", "String", "UInt64")
    places = Table(dict(zip(Place.__struct_fields__, kinds, strict=True)), explained="By place.")
    writer = catalogue.FORMATS["prometheus"].writer(places)
    lines = writer.head() + writer.rows([Place('a\n"b', 1.5, "1.5", 3), Place("c", None, "1", 1)])
    (family,) = text_string_to_metric_families(lines.decode())
    assert [sample.labels for sample in family.samples] == [
        {"location": 'a\n"b'},
        {"location": "c"},
    ]


def test_the_schema_of_several_tables_takes_rows_of_each() -> None:
    one = Table({"a": "String", "b": "Float64", "c": "String"})
    two = Table({"a": "String", "b": "Nullable(Float64)", "c": "Nullable(String)", "d": "UInt64"})
    schema = catalogue.FORMATS["json"].schema(one, two)
    assert schema["properties"]["meta"] == {"enum": [one.meta, two.meta]}
    row = schema["properties"]["data"]["items"]
    assert row["required"] == ["a", "b", "c"]
    assert row["properties"]["c"] == {"type": ["string", "null"]}
    assert row["properties"]["d"]["minimum"] == 0


@pytest.mark.parametrize("form", FORMATS)
def test_any_table_is_written_in_every_format(form: str) -> None:
    kinds = ("String", "Float64", "Nullable(String)", "UInt64")
    places = Table(dict(zip(Place.__struct_fields__, kinds, strict=True)), explained="By place.")
    writer = catalogue.FORMATS[form].writer(places)
    rows = [Place('a"b', 1.5, '"1.5', 3), Place("", None, None, 0)]
    body = writer.head() + writer.rows(rows) + writer.tail(Summary(2, 2, 2, 1, 0.5))
    if form == "json":
        assert json.loads(body)["meta"] == places.meta
        schema = {**catalogue.FORMATS[form].schema(places)}
        jsonschema_rs.validator_for(schema).validate(json.loads(body))
    if form == "csvwithnames":
        head, *lines = body.decode().split("\n")
        assert head == '"location","total_energy_consumed","exact","readings"'
        assert lines == ['"a""b",1.5,"""1.5",3', r'"",\N,\N,0', ""]
    if form == "parquet":
        assert table(body).to_pylist() == [msgspec.structs.asdict(row) for row in rows]
    if form == "prometheus":
        (family,) = text_string_to_metric_families(body.decode())
        assert [sample.labels for sample in family.samples] == [
            {"location": 'a"b'},
            {"location": ""},
        ]


async def test_the_first_parquet_is_made_by_a_thread_which_imports_arrow(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Imported by the event loop, it would hold up everybody."""
    makers: list[threading.Thread] = []

    class Noted(ParquetRows):
        def __init__(self, columns: Table) -> None:
            makers.append(threading.current_thread())
            super().__init__(columns)

    monkeypatch.setattr(parquet, "ParquetRows", Noted)
    monkeypatch.setattr(catalogue.PARQUET_WRITERS, "_is_loaded", False)
    answers = [await caller.get(f"{PIPE}.parquet") for _ in range(2)]
    assert [read("parquet", answer.body) for answer in answers] == [
        [(name, float(number)) for number, name in sorted(enumerate(HOSTILE), key=by_name)]
    ] * 2
    assert [maker is threading.main_thread() for maker in makers] == [False, True]


def by_name(numbered: tuple[int, str]) -> str:
    return numbered[1]
