"""Ops K5: what `/ready` says of a worker whose stores are being filled."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from contract.device_totals import DEVICE_TOTALS
from contract.energy_series import ENERGY_SERIES
from local_stack.ports import free_port
from stream_app.changelog.restoring import Restoring
from stream_app.process.health import Readiness, serving
from tests.http_client import get


@pytest.fixture
def readiness() -> Readiness:
    return Readiness("looking at the cluster")


@pytest.fixture
def port(readiness: Readiness) -> Iterator[int]:
    with serving("127.0.0.1", port := free_port(), readiness):
        yield port


def test_ops_k5_each_partition_is_told_in_per_cent_of_its_way() -> None:
    restoring = Restoring(DEVICE_TOTALS)
    assert restoring.lines() == []
    with restoring.of({3: 1_000, 0: 0}, {0: 500, 3: 3_000, 7: 10}):
        restoring.reached(3, 1_820)
        assert restoring.lines() == ["restoring partition 0: 0 %", "restoring partition 3: 41 %"]
        restoring.reached(3, 2_999)
        restoring.reached(0, 500)
        assert restoring.lines() == ["restoring partition 3: 99 %"]
        restoring.reached(3, 3_001)
        assert restoring.lines() == [], "a fetch may bring more than was wanted"
    assert restoring.lines() == []


def test_ops_k5_a_partition_of_a_view_that_came_later_is_told_with_the_view() -> None:
    restoring = Restoring(ENERGY_SERIES)
    with restoring.of({1: 0}, {1: 10}):
        restoring.reached(1, 5)
        assert restoring.lines() == ["restoring partition 1 of energy_series: 50 %"]


def test_ops_k5_what_fails_is_restored_no_more() -> None:
    restoring = Restoring(DEVICE_TOTALS)
    with pytest.raises(OSError, match="gone"), restoring.of({1: 0}, {1: 10}):
        raise OSError("gone")
    assert restoring.lines() == []


def test_ops_k5_the_server_follows_the_start(port: int, readiness: Readiness) -> None:
    assert get(port, "/health").status == 200
    answer = get(port, "/ready")
    assert answer.status == 503
    assert json.loads(answer.text)["reasons"] == ["looking at the cluster"]
    readiness.not_ready_because = list
    readiness.warnings = ["one copy"]
    assert get(port, "/ready").status == 200
    assert json.loads(get(port, "/ready").text)["warnings"] == ["one copy"]


def test_ops_k5_nobody_is_served_without_a_port(readiness: Readiness) -> None:
    with serving("no such host", 0, readiness):
        pass
