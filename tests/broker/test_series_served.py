"""`energy api` and the series: killed and started again, two on one home, `wait=all`, the books.

The changelogs are written by hand, as a worker of each view would.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contract.device_totals import DEVICE_TOTALS
from contract.energy_series import ENERGY_SERIES
from contract.topics import READINGS
from contract.view import View
from kafka_io.cluster_changes import ClusterAdmin
from operations.bootstrap import prepare
from tests.api_doubles import transaction
from tests.broker.own_cluster import SettingsFactory
from tests.fault.server import ApiProcess
from tests.http_client import Answer, get, post
from tests.kafka import ANSWER_SECONDS, Kafka, TransactionalWriter, wait_until
from tests.series_records import commit, row

PLACES = "/v0/pipes/energy_consumption_by_location.json"
READING = (
    '{"timestamp": "1970-01-01 00:00:01", "device_id": "a", "energy_consumed": 4,'
    ' "location": "Kitchen"}'
)


class Views:
    """Both views of version 1, of one partition."""

    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka

    def totals(self, total: int, readings: int, offset: int) -> None:
        self._write(DEVICE_TOTALS, transaction({"a": (total, readings)}, offset, counted=readings))

    def series(self, total: int, readings: int, offset: int) -> None:
        self._write(ENERGY_SERIES, commit([row("a", total, readings)], offset, counted=readings))

    def _write(self, view: View, records: Any) -> None:
        TransactionalWriter(self._kafka, view.changelog(1).name).write(records)


@pytest.fixture
def views(cluster: ClusterAdmin, own_kafka: Kafka, settings_factory: SettingsFactory) -> Views:
    prepare(cluster, settings_factory(ENERGY_SERIES="on", ENERGY_PARTITIONS="1"))
    own_kafka.write(READINGS.name, [b"{}"] * 3)
    views = Views(own_kafka)
    views.totals(3, 3, 2)
    views.series(3, 3, 2)
    return views


@pytest.fixture
def servers(own_kafka: Kafka, tmp_path: Path) -> Iterator[list[ApiProcess]]:
    """Two, on one home; the second one's environment is that of the first."""
    environ = {"KAFKA_BOOTSTRAP_SERVERS": own_kafka.bootstrap_servers}
    servers = [ApiProcess(tmp_path, environ) for _ in range(2)]
    yield servers
    for server in servers:
        server.kill()


def places(server: ApiProcess) -> dict[str, Any] | None:
    """What it says of the one place, with its offsets; None while it is loading."""
    answer = get(server.port, PLACES, server.token)
    if answer.status != 200:
        return None
    [found] = json.loads(answer.text)["data"]
    return found | {"offsets": answer.headers["X-Applied-Offsets"]}


def shown(total: int, readings: int, offset: int) -> dict[str, Any]:
    return {
        "location": "Kitchen",
        "total_energy_consumed": total,
        "total_energy_consumed_exact": str(total),
        "readings": readings,
        "devices": 1,
        "offsets": f"0:{offset}",
    }


def test_a_killed_server_goes_on_with_its_copy_and_two_have_one_each(
    views: Views, servers: list[ApiProcess], tmp_path: Path
) -> None:
    first, second = servers
    first.start()
    wait_until(lambda: places(first) == shown(3, 3, 2), "the series is served")
    assert "going on with the copy" not in first.log
    second.start()
    wait_until(lambda: places(second) == shown(3, 3, 2), "the second one serves it too")
    assert {path.name for path in (tmp_path / "view").iterdir()} == {"0", "1"}
    first.kill()
    views.series(7, 4, 3)
    first.start()
    wait_until(lambda: places(first) == shown(7, 4, 3), "it goes on")
    assert "going on with the copy of energy_series" in first.log
    ready = json.loads(get(first.port, "/ready").text)
    assert (ready["series"], ready["series_problem"]) == ("running", None)
    assert first.stop() == 0


def test_wait_all_waits_for_both_and_the_books_balance(
    views: Views, servers: list[ApiProcess]
) -> None:
    server = servers[0]
    server.start()
    wait_until(lambda: places(server) == shown(3, 3, 2), "the series is served")
    answers: list[Answer] = []
    target = "/v0/events?name=energy_consumption&wait=all"
    asking = threading.Thread(
        target=lambda: answers.append(post(server.port, target, READING, server.token))
    )
    asking.start()
    views.totals(7, 4, 3)
    total = "/v0/devices/a"
    wait_until(
        lambda: json.loads(get(server.port, total, server.token).text)["readings"] == 4,
        "the totals show it",
    )
    asking.join(0.5)
    assert asking.is_alive(), "the series does not show it"
    views.series(7, 4, 3)
    asking.join(ANSWER_SECONDS)
    assert [answer.status for answer in answers] == [200]
    assert places(server) == shown(7, 4, 3)
    wait_until(
        lambda: "\napi_books_balance 1.0\n" in get(server.port, "/metrics", server.token).text,
        "both were compared",
    )
