"""X37: all workers are dead: the last totals, the true lag, and then not ready."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.fault.fleet import READINGS
from tests.fault.http_reader import HttpReader
from tests.fault.pipeline import Pipeline
from tests.fault.server import ApiProcess
from tests.http_client import Answer, get
from tests.kafka import wait_until

MOST_LAG = 1_000


@pytest.mark.timeout(120)
def test_x37_without_workers_the_last_totals_are_served_with_their_true_lag(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    workers = [pipeline.workers.add() for _ in range(2)]
    fleet, kafka = pipeline.fleet, pipeline.kafka
    api = ApiProcess(tmp_path, {**pipeline.environ, "API_MAX_LAG_RECORDS": str(MOST_LAG)})

    def hot() -> Answer:
        return get(api.port, "/v0/devices/hot", api.token)

    def lag_is(records: int) -> bool:
        return hot().headers["X-Lag-Records"] == str(records)

    def has_all() -> bool:
        # The series comes up to 0.8 s later, and nothing comes once the workers are dead.
        found = json.loads(hot().text)
        placed = sum(place["readings"] for place in found["locations"])
        return lag_is(0) and placed == found["readings"]

    api.start()
    reader = HttpReader(api.port, api.token)
    try:
        fleet.publish(2_000)
        fleet.flush()
        wait_until(lambda: lag_is(0), f"all is served: {api.log[-800:]}", 60)
        wait_until(has_all, "the series has all too", 20)
        reader.start()
        last = json.loads(hot().text)
        for worker in workers:
            worker.wanted = False
            worker.kill()
        for more, is_ready in ((MOST_LAG, True), (1, False)):
            fleet.publish(more)
            fleet.flush()
            behind = sum(kafka.end_offsets(READINGS).values()) - pipeline.applied_records()
            assert (behind > MOST_LAG) is not is_ready
            wait_until(lambda behind=behind: lag_is(behind), f"the lag is {behind}")
            assert json.loads(hot().text) == last
            answer = get(api.port, "/ready")
            assert answer.status == (200 if is_ready else 503), answer
        assert f"the lag of {behind} records is over API_MAX_LAG_RECORDS" in answer.text
        for worker in workers:
            worker.start()
        wait_until(lambda: lag_is(0), "all is served again", 60)
        wait_until(lambda: get(api.port, "/ready").status == 200, "it is ready again")
        reader.stop()
        found = reader.verdict(kafka.each(READINGS))
        assert {name: it for name, it in found.items() if name[0] == "I" and it} == {}, found
        pipeline.finish(polls=found["polls"])
    finally:
        reader.stop()
        api.kill()
    assert "Traceback" not in api.log
