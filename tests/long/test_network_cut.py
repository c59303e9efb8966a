"""X8: the network between one worker and the broker is gone for two minutes."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.fault.pipeline import Pipeline
from tests.fault.proxy import HOST, Proxy

CUT_SECONDS = 120
ALIVE_SECONDS = 60


@pytest.mark.timeout(480)
@pytest.mark.parametrize("how", [Proxy.cut, Proxy.silence])
def test_x8_a_network_gone_for_two_minutes_loses_and_doubles_nothing(
    proxied_pipeline: Pipeline, proxy: Proxy, how: Callable[[Proxy], None]
) -> None:
    pipeline = proxied_pipeline
    pipeline.workers.add(KAFKA_BOOTSTRAP_SERVERS=f"{HOST}:{proxy.port}")
    pipeline.fleet.start()
    pipeline.wait_progress(2_000)
    how(proxy)
    time.sleep(CUT_SECONDS)  # the length is the test
    proxy.heal()
    began = time.monotonic()
    pipeline.wait_progress(5_000, seconds=ALIVE_SECONDS)
    pipeline.finish(seconds_to_go_on=round(time.monotonic() - began, 1))
