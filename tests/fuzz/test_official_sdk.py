"""The official Python client, unmodified, against our port."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tinybird_sdk.client import create_client
from tinybird_sdk.client.types import TinybirdError

from tests.fuzz.running import RunningServer, ServerFactory

SOURCE = "energy_consumption"
PIPE = "energy_consumption_by_device"
EVENT = {
    "timestamp": datetime(2025, 4, 30, 10, 11, 21, 5, tzinfo=UTC),
    "device_id": "device_7",
    "energy_consumed": Decimal("0.75"),
    "location": "Living Room",
}


@pytest.fixture
def client(server: RunningServer) -> Any:
    return create_client({"base_url": server.url, "token": server.token})


@pytest.mark.parametrize("options", [{}, {"wait": False}, {"wait": True, "max_retries": 3}])
def test_ingest(client: Any, options: dict[str, Any]) -> None:
    answer = client.ingest(SOURCE, EVENT, options)
    assert answer == {"successful_rows": 1, "quarantined_rows": 0}


def test_ingest_batch_with_numbers_as_the_client_writes_them(client: Any) -> None:
    numbers = [1, -2.5, 2**60, Decimal("0.1"), "bad"]
    events = [EVENT | {"energy_consumed": number} for number in numbers]
    answer = client.ingest_batch(SOURCE, events)
    assert answer == {"successful_rows": 4, "quarantined_rows": 1}


def test_query_with_lists_and_nones(client: Any) -> None:
    answer = client.query(PIPE, {"device_id": ["device_7", "a"], "limit": 5, "offset": None})
    assert [row["device_id"] for row in answer["data"]] == ["a", "device_7"]
    assert answer["rows"] == 2
    assert [column["name"] for column in answer["meta"]] == ["device_id", "total_energy_consumed"]


@pytest.mark.parametrize(
    ("call", "status"),
    [
        (lambda client: client.query("other"), 404),
        (lambda client: client.query(PIPE, {"limit": "x"}), 400),
        (lambda client: client.ingest("other", EVENT), 404),
        (lambda client: client.sql("SELECT 1"), 404),
        (lambda client: client.datasources.truncate(SOURCE), 404),
        (lambda client: client.datasources.delete(SOURCE, {"delete_condition": "1"}), 404),
    ],
)
def test_errors_say_what_is_wrong(client: Any, call: Any, status: int) -> None:
    with pytest.raises(TinybirdError) as caught:
        call(client)
    assert caught.value.status_code == status
    assert len(str(caught.value)) > 10


def test_a_bad_token_is_403(server: RunningServer) -> None:
    stranger = create_client({"base_url": server.url, "token": "wrong"})
    with pytest.raises(TinybirdError) as caught:
        stranger.query(PIPE)
    assert caught.value.status_code == 403


def test_its_retries_get_through_a_rate_limit(server_factory: ServerFactory) -> None:
    server = server_factory(API_RATE_LIMIT_PER_SECOND="1")
    client = create_client({"base_url": server.url, "token": server.token})
    for _ in range(3):
        assert client.ingest(SOURCE, EVENT, {"max_retries": 10})["successful_rows"] == 1


def test_append_a_file(client: Any, server: RunningServer, tmp_path: Path) -> None:
    file = tmp_path / "readings.csv"
    file.write_text(
        "timestamp,device_id,energy_consumed,location\n"
        "2025-04-30 10:11:21,a,0.75,x\n2025-04-30 10:11:21,a,bad,x\n"
    )
    before = server.rows()
    answer = client.datasources.append(SOURCE, {"file": str(file)})
    assert (answer["successful_rows"], answer["quarantined_rows"]) == (1, 1)
    after = server.rows()
    assert after["successful"] == before.get("successful", 0) + 1


def test_append_a_url_is_refused_with_a_sentence(client: Any) -> None:
    with pytest.raises(TinybirdError) as caught:
        client.datasources.append(SOURCE, {"url": "http://127.0.0.1:1/a.csv"})
    assert caught.value.status_code == 400
    assert "the server fetches no files" in str(caught.value)
