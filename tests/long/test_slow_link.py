"""X9: what the broker answers one worker trickles in slices, down to a byte at a time."""

from __future__ import annotations

import time

import pytest

from tests.fault.pipeline import Pipeline
from tests.fault.proxy import HOST, Proxy

ALIVE_SECONDS = 90
#: Slices of 800 and of 2 bytes, fifty a second: one is less than the readings need, the other is
#: less than the session needs.
SLOW, STARVING = 40_000, 100
STARVED_SECONDS = 20


@pytest.mark.timeout(420)
def test_x9_a_link_that_trickles_loses_and_doubles_nothing(
    proxied_pipeline: Pipeline, proxy: Proxy
) -> None:
    pipeline = proxied_pipeline
    pipeline.workers.add(KAFKA_BOOTSTRAP_SERVERS=f"{HOST}:{proxy.port}")
    pipeline.fleet.start()
    pipeline.wait_progress(2_000)
    proxy.throttle(SLOW)
    pipeline.wait_progress(500, seconds=ALIVE_SECONDS)
    proxy.throttle(STARVING)
    time.sleep(STARVED_SECONDS)  # the length is the test
    proxy.heal()
    began = time.monotonic()
    pipeline.wait_progress(5_000, seconds=ALIVE_SECONDS)
    pipeline.finish(seconds_to_go_on=round(time.monotonic() - began, 1))
