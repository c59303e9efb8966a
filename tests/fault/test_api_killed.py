"""X46: the API is killed while it answers POSTs with wait=true."""

from __future__ import annotations

import random
import time

import pytest

from tests.fault.conftest import ApiFactory
from tests.fault.fleet import READINGS
from tests.fault.http_writer import HttpWriter
from tests.fault.pipeline import Pipeline
from tests.kafka import wait_until

KILLS = 3
ALIVE_SECONDS = 60


@pytest.mark.timeout(180)
def test_x46_rows_answered_before_the_api_is_killed_are_in_the_log_once(
    pipeline: Pipeline, api_factory: ApiFactory, seed: int
) -> None:
    chance = random.Random(seed)
    pipeline.workers.add()
    pipeline.fleet.oracle.others_publish = True
    pipeline.fleet.start()
    api = api_factory(pipeline)
    api.start()
    writer = HttpWriter(api.port, api.token, wait=True).start()
    for _ in range(KILLS):
        before = writer.accepted()
        wait_until(lambda before=before: writer.accepted() > before + 20, api.log, ALIVE_SECONDS)
        time.sleep(chance.uniform(0.0, 0.2))  # the moment is the test
        api.kill()
        api.start()
    before = writer.accepted()
    wait_until(lambda: writer.accepted() > before, api.log, ALIVE_SECONDS)
    writer.stop()
    pipeline.drain()
    found = writer.verdict(pipeline.kafka.each(READINGS))
    pipeline.finish(kills=KILLS, **found)
    assert found["wrong"] == []
    assert found["bodies"][0] >= KILLS, "POSTs were under way when it was killed"
    assert found["bodies"][200] > 0, "some were waited for"
    assert "Traceback" not in api.log
