"""What Tinybird's official clients send: each request as its source makes it, on our port.

Read in tinybird-python-sdk (`tb`), tinybird-sdk for Python 0.4.0 and TypeScript, the CLIs
tinybird-cli (classic) and tinybird 5.0.3, mockingbird, tinybird-tracker, the web analytics
starter kit and the Grafana data source, in November 2026. Clients write the token, `from`,
`cli_version` and `__tb__…` behind any request.
"""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from tests.api_doubles import Caller, ScriptedPublisher, caller_for, filled_view
from tests.records import reading_value

ROW = reading_value()
CSV = b"timestamp,device_id,energy_consumed,location\n2025-04-30 10:11:21,d1,5,x\n"
SOURCE, PIPE = "name=energy_consumption", "/v0/pipes/energy_consumption_by_device"
V1 = "/v1/datasources/energy_consumption/append"
CLI = "&cli_version=5.0.3%20%28rev%20a%29&__tb__semver=1.0.0&__tb__deployment=staging&from=cli"
FORM = "multipart/form-data; boundary=b"


def form(field: str, data: bytes) -> bytes:
    head = f'--b\r\nContent-Disposition: form-data; name="{field}"; filename="{field}"\r\n\r\n'
    return head.encode() + data + b"\r\n--b--\r\n"


EVENTS = [
    ("tb: Datasource", f"/v0/events?mode=append&{SOURCE}&format=ndjson&wait=false", 202),
    ("tb: AsyncDatasource", f"/v0/events?{SOURCE}&format=ndjson&wait=false", 202),
    ("tinybird-sdk: ingest", f"/v0/events?{SOURCE}&wait=true&from=py-sdk", 200),
    ("tinybird-sdk for TypeScript", f"/v0/events?{SOURCE}&wait=true&from=ts-sdk", 200),
    ("mockingbird", f"/v0/events?{SOURCE}&from=mockingbird", 202),
    ("tinybird-tracker", f"/v0/events?{SOURCE}", 202),
    ("tinybird: datasource append --events", f"{V1}?format=ndjson{CLI}", 200),
    ("tinybird-cli: events", f"/v0/events?{SOURCE}{CLI}", 202),
]


@pytest.mark.parametrize(("client", "target", "status"), EVENTS, ids=[each[0] for each in EVENTS])
async def test_c6_events_of_official_clients_are_taken(
    tmp_path: Path, client: str, target: str, status: int
) -> None:
    publisher = ScriptedPublisher(first_offset=0)
    caller = caller_for(tmp_path, await filled_view({"a": (1, 1)}), publisher)
    caller.token, token = None, caller.token
    answer = await caller.post(f"{target}&token={token}", ROW, content_type="application/x-ndjson")
    assert (answer.status, answer.json()["successful_rows"]) == (status, 1), client
    assert [value for _, value in publisher.rows] == [ROW]


FILES = [
    (
        "tinybird-sdk: append_datasource",
        f"/v0/datasources?{SOURCE}&mode=append&format=csv&dialect_delimiter=%2C"
        "&dialect_new_line=%0A&dialect_escapechar=%5C&from=py-sdk",
        {"content_type": FORM},
        form("csv", CSV),
    ),
    (
        "tinybird-cli: datasource append, csv",
        f"/v0/datasources?{SOURCE}&mode=append&format=csv&debug=blocks_block_log{CLI}",
        {"content_type": FORM},
        form("csv", CSV),
    ),
    (
        "tinybird-cli: datasource append, ndjson",
        f"/v0/datasources?{SOURCE}&mode=append&format=ndjson&debug=blocks_block_log{CLI}",
        {"content_type": FORM},
        form("ndjson", ROW),
    ),
    ("tinybird: append, csv", f"{V1}?format=csv{CLI}", {"content_type": "text/csv"}, CSV),
    (
        "tinybird: append, a compressed file",
        f"{V1}?format=ndjson{CLI}",
        {"content_type": "application/x-ndjson", "content_encoding": "gzip"},
        gzip.compress(ROW),
    ),
]


@pytest.mark.parametrize(
    ("client", "target", "headers", "body"), FILES, ids=[each[0] for each in FILES]
)
async def test_c6_files_of_official_clients_are_taken(
    tmp_path: Path, client: str, target: str, headers: dict[str, str], body: bytes
) -> None:
    answer = await caller_for(tmp_path, None).post(target, body, **headers)
    assert (answer.status, answer.json()["successful_rows"]) == (200, 1), client


READS = [
    ("tinybird-sdk: query", f"{PIPE}.json?device_id=a&limit=5&from=py-sdk"),
    ("Grafana", f"{PIPE}.json?order_by=device_id"),
    ("tinybird-cli: pipe data", f"{PIPE}.csv?limit=5{CLI}"),
    ("tinybird: datasource ls", f"/v0/datasources?attrs=used_by%2Ctype{CLI}"),
    ("tinybird: datasource", f"/v0/datasources/energy_consumption?attrs=name{CLI}"),
]


@pytest.mark.parametrize(("client", "target"), READS, ids=[each[0] for each in READS])
async def test_c6_reads_of_official_clients_are_answered(
    tmp_path: Path, client: str, target: str
) -> None:
    caller = caller_for(tmp_path, await filled_view({"a": (1, 1)}))
    assert (await caller.get(target)).status == 200, client


@pytest.mark.parametrize(
    "target",
    [
        f"/v0/events?{SOURCE}&mode=replace",
        f"/v0/datasources?{SOURCE}&mode=replace",
        f"/v0/datasources?{SOURCE}&mode=append&replace_condition=1",
        f"/v0/events?{SOURCE}&wiat=true",
    ],
)
async def test_c6_what_would_mean_something_else_is_refused_by_name(
    caller: Caller, target: str
) -> None:
    answer = await caller.post(target, ROW)
    assert answer.status == 400
    assert any(word in answer.error for word in ("mode", "replace_condition", "wiat"))


@pytest.fixture
def caller(tmp_path: Path) -> Caller:
    return caller_for(tmp_path, None)
