"""X36: an API that loads, that is behind, that is cut off from the broker."""

from __future__ import annotations

import http.client
import json
import time
from collections import Counter
from typing import Any

import pytest

from tests.fault.conftest import ApiFactory
from tests.fault.fleet import READINGS
from tests.fault.http_reader import HttpReader
from tests.fault.pipeline import Pipeline
from tests.fault.proxy import FETCH, HOST, Proxy
from tests.fault.server import ApiProcess
from tests.kafka import wait_until

LONG_NAMES = 20_000
"""Some 6 MB of changelog: more than two fetches of the API."""
SLOW_BYTES_PER_SECOND = 3_000_000
MOST_LAG = 500
DEVICE = "/v0/devices/hot"


def ask(api: ApiProcess, path: str) -> tuple[int, http.client.HTTPMessage, Any]:
    connection = http.client.HTTPConnection(HOST, api.port, timeout=10)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {api.token}"})
        answer = connection.getresponse()
        return answer.status, answer.headers, json.loads(answer.read())
    finally:
        connection.close()


def listens(api: ApiProcess) -> bool:
    try:
        return ask(api, "/health")[0] == 200
    except OSError:
        assert api.pid is not None, api.log
        return False


@pytest.mark.timeout(180)
def test_x36_a_cut_off_api_keeps_its_totals_and_tells_the_true_lag(
    proxied_pipeline: Pipeline, proxy: Proxy, api_factory: ApiFactory
) -> None:
    pipeline = proxied_pipeline
    pipeline.workers.add()
    pipeline.fleet.publish(2_000)
    pipeline.fleet.publish_long_names(LONG_NAMES)
    pipeline.wait_progress(LONG_NAMES + 2_000)
    api = api_factory(
        pipeline,
        KAFKA_BOOTSTRAP_SERVERS=f"{HOST}:{proxy.port}",
        API_MAX_LAG_RECORDS=str(MOST_LAG),
    )
    loading = load_slowly(api, proxy, LONG_NAMES)
    reader = HttpReader(api.port, api.token).start()
    pipeline.fleet.start()
    lag = fall_behind(api, proxy, pipeline)
    told_after = be_cut_off(api, proxy)
    pipeline.drain()
    wait_until(lambda: reader.lag_records == 0, "the API has no lag again")
    assert ask(api, "/ready")[0] == 200
    reader.stop()
    read = reader.verdict(pipeline.kafka.each(READINGS))
    pipeline.finish(loading=loading, lag=lag, told_after=told_after, **read)
    assert (read["I10"], read["I11"], read["I12"]) == (0, 0, 0), read["told"]
    assert "Traceback" not in api.log


def load_slowly(api: ApiProcess, proxy: Proxy, devices: int) -> dict[int, int]:
    """Until all is loaded every read is 503; the first other answer has everything."""
    proxy.throttle(SLOW_BYTES_PER_SECOND)
    api.start()
    wait_until(lambda: listens(api), "the API listens")
    statuses: Counter[int] = Counter()

    def answers_reads() -> bool:
        _, _, readiness = ask(api, "/ready")
        status, headers, _ = ask(api, DEVICE)
        statuses[status] += 1
        if status == 503:
            assert headers["Retry-After"]
            assert readiness["status"] == "not ready"
            assert readiness["reasons"]
        return status != 503

    wait_until(answers_reads, "the view is loaded")
    status, headers, listing = ask(api, "/v0/pipes/energy_consumption_by_device.json")
    assert status == 200
    assert listing["rows"] > devices
    assert int(headers["X-Lag-Records"]) == 0
    proxy.heal()
    assert statuses.keys() == {200, 503}, "it was seen loading, and then served"
    return dict(statuses)


def fall_behind(api: ApiProcess, proxy: Proxy, pipeline: Pipeline) -> int:
    """Fetches hang, everything else is answered: the lag is told as it is."""
    wait_until(lambda: ask(api, "/ready")[0] == 200, "the API is ready")
    proxy.hold(FETCH)

    readiness = wait_until(lambda: unready(api), "the API says that it is behind")
    assert "API_MAX_LAG_RECORDS" in readiness["reasons"][0]
    before = pipeline.kafka.end_offsets(READINGS)
    time.sleep(1.5)  # more than the age of the ends that an answer is made from
    status, headers, found = ask(api, DEVICE)
    after = pipeline.kafka.end_offsets(READINGS)
    assert status == 200
    pairs = (each.split(":") for each in headers["X-Applied-Offsets"].split(","))
    applied = {int(partition): int(offset) for partition, offset in pairs}
    lag = int(headers["X-Lag-Records"])
    least, most = (sum(e - applied[p] - 1 for p, e in ends.items()) for ends in (before, after))
    assert least <= lag <= most
    assert found["readings"] > 0
    proxy.heal()
    wait_until(lambda: ask(api, "/ready")[0] == 200, "the API is ready again")
    return lag


def be_cut_off(api: ApiProcess, proxy: Proxy) -> float:
    """Nothing comes through any more: the last totals, and no lag from an old answer."""
    proxy.silence()
    began = time.monotonic()

    def tells_no_lag() -> bool:
        status, headers, _ = ask(api, DEVICE)
        assert status == 200
        return headers["X-Lag-Records"] == "unknown"

    wait_until(tells_no_lag, "the lag is told to be unknown")
    told_after = time.monotonic() - began
    readiness = wait_until(lambda: unready(api), "/ready says so")
    assert readiness["reasons"] == ["the lag is unknown: Kafka does not answer"]
    assert (readiness["lag_records"], readiness["view"]) == (None, "running")
    last = ask(api, DEVICE)
    proxy.cut()
    again = ask(api, DEVICE)
    assert (again[0], again[2]) == (200, last[2])
    proxy.heal()
    return round(told_after, 1)


def unready(api: ApiProcess) -> Any:
    """What `/ready` says when it is 503, None as long as it is not."""
    status, _, readiness = ask(api, "/ready")
    return readiness if status == 503 else None
