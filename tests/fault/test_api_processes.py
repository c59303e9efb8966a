"""An API of several processes: reads agree, whichever of them answers, and whoever is killed."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest

from tests.fault.conftest import ApiFactory
from tests.fault.pipeline import Pipeline
from tests.fault.server import ApiProcess
from tests.fault.several import Asked, Several
from tests.kafka import wait_until
from tests.pids import is_running

pytestmark = pytest.mark.timeout(240)

PROCESSES = 2
EVENTS = "/v0/events?name=energy_consumption"
SERIES = "/v0/pipes/energy_consumption_over_time.json?interval=hour&group_by=device_id"


@pytest.fixture
def api(pipeline: Pipeline, api_factory: ApiFactory) -> ApiProcess:
    worker = pipeline.workers.add()
    pipeline.workers.wait_working([worker])
    # A loaded machine is slow to count what comes first.
    api = api_factory(pipeline, API_PROCESSES=str(PROCESSES), API_WAIT_TIMEOUT_SECONDS="60")
    api.start()
    return api


@pytest.fixture
def several(api: ApiProcess) -> Several:
    several = Several(api)
    several.wait_serving(PROCESSES)
    return several


def row(device: str, number: int) -> str:
    return json.dumps(
        {
            "timestamp": f"2025-04-30 {number % 24:02}:11:21",
            "device_id": device,
            "energy_consumed": number,
            "location": "Kitchen",
        }
    )


def test_rows_waited_for_on_one_process_are_read_on_all(several: Several) -> None:
    first, second = several.serving()
    with Asked(several, first) as a, Asked(several, second) as b:
        for number in range(1, 41):
            writer, reader = (a, b) if number % 2 else (b, a)
            status, _, _ = writer.post(f"{EVENTS}&wait=all", row("shared", number))
            assert status == 200
            for each in (reader, writer):
                status, found, _ = each.get("/v0/devices/shared")
                assert (status, found["readings"]) == (200, number)
        assert a.get(SERIES)[1]["data"] == b.get(SERIES)[1]["data"] != []
        # One key, two processes: counted once, answered the same.
        again = {"Idempotency-Key": "once"}
        said = [each.post(EVENTS, row("keyed", 5), **again) for each in (a, b, a)]
        assert [(status, found) for status, found, _ in said] == [(said[0][0], said[0][1])] * 3
        assert b.post(f"{EVENTS}&wait=all", row("shared", 41))[0] == 200
        wait_until(lambda: a.get("/v0/devices/keyed")[1].get("readings") == 1, "it is counted", 20)
        assert b.get("/v0/devices/keyed")[1]["readings"] == 1


def test_a_scrape_of_one_process_has_the_numbers_of_all(several: Several) -> None:
    def counted(text: str) -> list[float]:
        return [
            float(line.split()[-1])
            for line in text.splitlines()
            if line.startswith('api_requests_total{route="/v0/devices/') and '"404"' in line
        ]

    first, second = several.serving()
    with Asked(several, first) as a, Asked(several, second) as b:
        for each in (a, b, b):
            assert each.get("/v0/devices/nobody")[0] == 404
        assert counted(a.get("/metrics")[1]) == counted(b.get("/metrics")[1]) == [3]
    os.kill(second, signal.SIGKILL)
    wait_until(
        lambda: len(several.serving()) == PROCESSES and second not in several.serving(), "back", 20
    )
    several.wait_serving(PROCESSES)
    with Asked(several, first) as a:
        text = a.get("/metrics")[1]
        assert counted(text) == [3], "no sum falls when a process is killed"
        assert 'api_process_restarts_total{process="http"} 1.0' in text
        for name in ("http-0", "http-1"):
            serves = f'api_process_serving{{process="{name}"}} 1.0'
            # Each says it four times a second.
            wait_until(lambda serves=serves: serves in a.get("/metrics")[1], serves, 10)


def test_a_killed_http_process_comes_back_and_the_other_serves_meanwhile(
    several: Several,
) -> None:
    first, second = several.serving()
    with Asked(several, first) as a:
        assert a.post(f"{EVENTS}&wait=all", row("before", 7))[0] == 200
        os.kill(second, signal.SIGKILL)
        until = time.monotonic() + 20
        while len(set(several.serving()) - {second}) < PROCESSES:
            assert time.monotonic() < until
            assert a.get("/v0/devices/before")[0] == 200
        pids = several.wait_serving(PROCESSES)
        assert first in pids
        [new] = set(pids) - {first}
        with Asked(several, new) as b:
            assert b.get("/v0/devices/before")[1]["readings"] == 1
            assert b.post(f"{EVENTS}&wait=all", row("before", 7))[0] == 200
            assert a.get("/v0/devices/before")[1]["readings"] == 2


def test_totals_do_not_go_back_when_the_follower_is_killed(
    several: Several, pipeline: Pipeline
) -> None:
    pipeline.fleet.oracle.others_publish = True
    pipeline.fleet.start()
    shown: dict[int, list[int]] = {pid: [-1] * pipeline.partitions for pid in several.serving()}
    statuses: set[int] = set()
    with Asked(several, several.serving()[0]) as a, Asked(several, several.serving()[1]) as b:
        asked = dict(zip(several.serving(), (a, b), strict=True))

        def look() -> bool:
            serves = True
            for pid, each in asked.items():
                status, _, headers = each.get("/v0/pipes/energy_consumption_by_device.json?limit=1")
                statuses.add(status)
                serves &= status == 200
                if status == 200:
                    said = headers["X-Applied-Offsets"].split(",")
                    offsets = [int(one.split(":")[1]) for one in said]
                    assert all(new >= old for new, old in zip(offsets, shown[pid], strict=True))
                    shown[pid] = offsets
            return serves

        for _ in range(2):
            follower = several.parts()["follower"]
            before = dict(shown)
            os.kill(follower, signal.SIGKILL)
            wait_until(lambda: not look(), "the feed is lost", 10)
            reasons = a.get("/ready")[1]["reasons"]
            assert "the process that follows Kafka" in reasons[0]
            assert a.post(EVENTS, row("meanwhile", 1))[0] == 202, "writes go on"
            wait_until(look, "it is served again", 40)
            wait_until(lambda before=before: look() and shown != before, "and goes on", 20)
    assert statuses == {200, 503}
    pipeline.finish()


def test_each_process_has_its_streams(several: Several) -> None:
    path = "/v0/pipes/energy_consumption_by_device/stream?device_id=streamed"
    first, second = several.serving()
    streams = [several.connected(pid) for pid in (first, second)]
    answers = []
    for stream in streams:
        stream.request("GET", path, headers=several.headers)
        answers.append(stream.getresponse())
        assert answers[-1].status == 200
    with Asked(several, first) as a:
        for number in (1, 2):
            assert a.post(f"{EVENTS}&wait=true", row("streamed", number))[0] == 200
            for answer in answers:
                assert _next_readings(answer) == number
    for stream in streams:
        stream.close()


def _next_readings(answer: object) -> int:
    """Return the readings of the next row that is told, in a snapshot or a change."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        line = answer.readline().decode()  # type: ignore[attr-defined]
        if line.startswith("data:") and (rows := json.loads(line[5:]).get("rows")):
            return int(rows[0]["readings"])
    raise AssertionError("no row came")


def test_sigterm_ends_all_with_0(several: Several, api: ApiProcess) -> None:
    pids = [*several.parts().values()]
    assert len(pids) == PROCESSES + 1
    assert api.stop() == 0
    assert [pid for pid in pids if is_running(pid)] == []
    assert "Traceback" not in api.log


def test_none_outlives_a_parent_that_is_killed(several: Several, api: ApiProcess) -> None:
    pids = [*several.parts().values()]
    api.kill()
    wait_until(lambda: not any(map(is_running, pids)), "all have ended", 15)
    api.start()
    several.wait_serving(PROCESSES)
    assert "Traceback" not in api.log
