"""X5: SIGTERM, twice, with the broker gone, and a kill while it stops."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import pytest

from local_stack.broker.process import LocalBroker
from tests.fault.conftest import PipelineFactory
from tests.fault.pipeline import Pipeline
from tests.kafka import Kafka
from tests.shared_broker import QUICK_PROPERTIES


@pytest.mark.timeout(120)
def test_x5_sigterm_ends_with_0_in_time_and_loses_nothing(pipeline: Pipeline) -> None:
    worker = pipeline.workers.add()
    pipeline.fleet.start()
    took = []
    for times in (1, 2):
        pipeline.wait_progress(500)
        began = time.monotonic()
        for _ in range(times):
            worker.send(signal.SIGTERM)
        assert worker.stop() == 0
        took.append(time.monotonic() - began)
        worker.start()
    pipeline.wait_progress(500)
    worker.send(signal.SIGTERM)
    worker.wanted = False
    worker.kill()
    worker.start()
    found = pipeline.finish(stop_seconds=[round(seconds, 1) for seconds in took])
    assert max(took) <= 10
    assert found["I8"] == 0
    assert "Traceback" not in worker.log


@pytest.mark.timeout(120)
def test_x5_sigterm_again_and_again_until_it_has_ended_ends_with_0(pipeline: Pipeline) -> None:
    worker = pipeline.workers.add()
    pipeline.workers.wait_working()
    worker.wanted = False
    deadline = time.monotonic() + 10
    while worker.pid is not None and time.monotonic() < deadline:
        worker.send(signal.SIGTERM)
        time.sleep(0.005)
    assert worker.wait(1) == 0, worker.log
    assert "Traceback" not in worker.log


@pytest.mark.timeout(120)
def test_x5_ctrl_c_ends_with_130(pipeline: Pipeline) -> None:
    worker = pipeline.workers.add()
    pipeline.workers.wait_working()
    worker.wanted = False
    worker.send(signal.SIGINT)
    assert worker.wait(10) == 130
    assert "Traceback" not in worker.log


@pytest.mark.timeout(120)
def test_x5_sigterm_while_it_starts_ends_with_0(pipeline: Pipeline) -> None:
    worker = pipeline.workers.add()
    worker.wanted = False
    time.sleep(2.0)  # Faust is up, the group is being joined: the moment is the test
    worker.send(signal.SIGTERM)
    assert worker.wait(10) == 0, worker.log
    assert "Traceback" not in worker.log


@pytest.mark.timeout(120)
def test_x5_with_the_broker_gone_it_ends_within_30_s(
    broker_factory: Callable[..., LocalBroker], pipeline_factory: PipelineFactory
) -> None:
    broker = broker_factory(properties=QUICK_PROPERTIES)
    with broker:
        pipeline = pipeline_factory(Kafka(broker.bootstrap_servers))
        worker = pipeline.workers.add()
        pipeline.fleet.publish(2_000)
        pipeline.drain()
        assert broker.pid is not None
        os.kill(broker.pid, signal.SIGKILL)
        began = time.monotonic()
        assert worker.stop(30) == 0, worker.log
        print(f"stopped after {time.monotonic() - began:.1f} s without a broker")
        assert "Traceback" not in worker.log
