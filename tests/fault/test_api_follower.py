"""An API as it is by default: one process that serves, and the one that follows beside it."""

from __future__ import annotations

import json
import os
import signal

import pytest

from tests.fault.conftest import ApiFactory
from tests.fault.pipeline import Pipeline
from tests.fault.server import ApiProcess
from tests.http_client import Answer, get, post
from tests.kafka import wait_until
from tests.pids import is_running, parts_of
from tests.records import reading_value

pytestmark = pytest.mark.timeout(180)

START_SECONDS = 40


def follower_of(api: ApiProcess) -> int:
    assert api.pid is not None
    return parts_of(api.pid)["follower"]


def test_the_follower_comes_back_and_ends_with_the_server(
    pipeline: Pipeline, api_factory: ApiFactory
) -> None:
    pipeline.workers.wait_working([pipeline.workers.add()])
    api = api_factory(pipeline, API_WAIT_TIMEOUT_SECONDS="60")

    def ask(path: str) -> Answer:
        return get(api.port, path, api.token)

    def write() -> int:
        path = "/v0/events?name=energy_consumption&wait=true"
        return post(api.port, path, reading_value().decode(), api.token).status

    def is_ready() -> bool:
        return ask("/ready").status == 200

    def readings() -> int:
        return int(json.loads(ask("/v0/devices/device_1").text)["readings"])

    api.start()
    wait_until(is_ready, "it serves", START_SECONDS)
    assert write() == 200
    assert readings() == 1

    first = follower_of(api)
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: ask("/v0/devices/device_1").status == 503, "nothing is read", 10)
    assert "the process that follows Kafka" in ask("/ready").text
    assert write() in {200, 202, 504}, "writes go on"
    wait_until(is_ready, "it serves again", START_SECONDS)
    assert 'api_process_restarts_total{process="follower"} 1.0' in ask("/metrics").text

    # The next server finds neither the port nor the copies taken.
    second = follower_of(api)
    assert second != first
    api.kill()
    api.start()
    wait_until(is_ready, "the next one serves", START_SECONDS)
    assert not is_running(second)
    wait_until(lambda: readings() == 2, "nothing is lost", START_SECONDS)

    third = follower_of(api)
    assert api.stop() == 0
    assert not is_running(third)
    assert "Traceback" not in api.log
