"""The twelve points of a switch from the hosted service: only the base URL and the token change.

With the real curl where the tutorial has it, and requests as the official clients send them.
"""

from __future__ import annotations

import gzip
import json
import subprocess
from typing import Any

import pytest

from tests.fuzz.running import RunningServer, ServerFactory, body_of, status
from tests.records import reading_value

ROW = reading_value("device_7")
PIPE = b"/v0/pipes/energy_consumption_by_device"
TUTORIAL = """{
    "timestamp": "2025-04-30 10:11:21",
    "device_id": "device_7",
    "energy_consumed": 3106278102,
    "location": "Living Room"
  }"""


def curl(*arguments: str) -> tuple[int, str]:
    """What curl prints, and the status."""
    done = subprocess.run(
        ["curl", "-sS", "-m", "20", "-w", "\n%{http_code}", *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    body, _, code = done.stdout.rpartition("\n")
    return int(code), body


def counts(answer: bytes) -> tuple[int, int, int]:
    content = json.loads(body_of(answer))
    return status(answer), content["successful_rows"], content["quarantined_rows"]


def test_1_the_tutorials_curl_lines_work_unchanged(server: RunningServer) -> None:
    header = f"Authorization: Bearer {server.token}"
    events = f"{server.url}/v0/events?name=energy_consumption"
    code, body = curl("-X", "POST", events, "-H", header, "-d", TUTORIAL)
    assert (code, json.loads(body)) == (202, {"successful_rows": 1, "quarantined_rows": 0})
    code, body = curl(f"{server.url}{PIPE.decode()}.json?device_id=device_7", "-H", header)
    assert code == 200
    (row,) = json.loads(body)["data"]
    assert set(row) == {"device_id", "total_energy_consumed"}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (ROW + b"\n" + ROW, (202, 2, 0)),
        (ROW + b"\n\n\n \n" + ROW + b"\n", (202, 2, 0)),
        (ROW + b"\r\n" + ROW + b"\r\n", (202, 2, 0)),
        (b"[" + ROW + b",\n" + ROW + b"]", (202, 2, 0)),
        (b"\n".join([ROW] * 4 + [b'{"a": 1}'] + [ROW] * 5), (202, 9, 1)),
    ],
    ids=["no-final-newline", "blank-lines", "crlf", "array", "one-bad-of-ten"],
)
def test_2_to_6_bodies(server: RunningServer, body: bytes, expected: tuple[int, int, int]) -> None:
    assert counts(server.post(body)) == expected
    packed = server.post(gzip.compress(body), b"Content-Encoding: gzip\r\n")
    assert counts(packed) == expected


def test_7_a_token_in_the_query(server: RunningServer) -> None:
    url = f"{server.url}/v0/events?name=energy_consumption&token={server.token}"
    assert curl("-X", "POST", url, "--data-binary", ROW.decode())[0] == 202


def test_8_a_post_that_waits_is_200(server: RunningServer) -> None:
    target = b"/v0/events?name=energy_consumption&wait=true"
    assert counts(server.post(ROW, target=target)) == (200, 1, 0)


def test_9_codes(server: RunningServer, server_factory: ServerFactory) -> None:
    assert status(server.post(b"")) == 400
    assert status(server.post(ROW, target=b"/v0/events")) == 400
    assert status(server.post(ROW, target=b"/v0/events?name=other")) == 404
    assert status(server.get(b"/v0/pipes/other.json")) == 404
    assert status(server.post(b" " * 10_000_001)) == 413
    code, body = curl(f"{server.url}{PIPE.decode()}.json", "-H", "Authorization: Bearer x")
    assert code == 403
    assert set(json.loads(body)) == {"error", "documentation"}
    limited = server_factory(API_RATE_LIMIT_PER_SECOND="1")
    answers = [limited.post(ROW) for _ in range(5)]
    refused = next(each for each in answers if status(each) == 429)
    head = refused.partition(b"\r\n\r\n")[0].lower()
    assert b"\r\nretry-after: " in head
    for name in (b"limit", b"remaining", b"reset"):
        assert b"\r\nx-ratelimit-%b: " % name in head


@pytest.mark.parametrize(
    ("extension", "media_type"),
    [
        (b"", b"application/json"),
        (b".json", b"application/json"),
        (b".csv", b"text/csv"),
        (b".csvwithnames", b"text/csv"),
        (b".ndjson", b"application/x-ndjson"),
        (b".parquet", b""),
        (b".prometheus", b"text/plain"),
    ],
)
def test_10_six_formats(server: RunningServer, extension: bytes, media_type: bytes) -> None:
    answer = server.get(PIPE + extension + b"?device_id=a")
    assert status(answer) == 200
    assert b"\r\ncontent-type: " + media_type in answer.lower()


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"energy_consumed": "0.75"}, 1),
        ({"energy_consumed": str(2**60)}, 1),
        ({"timestamp": "2025-04-30T10:11:21"}, 1),
        ({"timestamp": "2025-04-30T10:11:21.000005+00:00"}, 1),
        ({"timestamp": "2025-04-30"}, 0),
    ],
)
def test_11_what_official_clients_make_of_values(
    server: RunningServer, fields: dict[str, Any], expected: int
) -> None:
    row = json.loads(ROW) | fields
    target = b"/v0/events?name=energy_consumption&wait=true&from=ts-sdk"
    assert counts(server.post(json.dumps(row).encode(), target=target))[1] == expected


@pytest.mark.parametrize(
    "query",
    [
        b"device_id=a&device_id=device_7&from=python-sdk",
        b"device_id=a,device_7&__tb__semver=1.0.0",
        b"device_id=a%2Cdevice_7&cli_version=5.0.0",
    ],
)
def test_12_parameters_as_clients_repeat_and_add_them(server: RunningServer, query: bytes) -> None:
    content = json.loads(body_of(server.get(PIPE + b".json?" + query)))
    assert [row["device_id"] for row in content["data"]] == ["a", "device_7"]
