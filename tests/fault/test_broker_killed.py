"""X6: the broker is killed under load and comes back with its data."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from local_stack.broker.process import LocalBroker
from tests.fault.conftest import PipelineFactory
from tests.kafka import Kafka, wait_until
from tests.shared_broker import QUICK_PROPERTIES

LINES_AN_OUTAGE = 400


@pytest.mark.timeout(180)
def test_x6_a_killed_broker_loses_and_doubles_nothing(
    broker_factory: Callable[..., LocalBroker], pipeline_factory: PipelineFactory
) -> None:
    broker = broker_factory(properties=QUICK_PROPERTIES)
    with broker:
        pipeline = pipeline_factory(Kafka(broker.bootstrap_servers))
        worker = pipeline.workers.add()
        pipeline.fleet.start()
        pipeline.wait_progress(2_000)
        lines = len(worker.log.splitlines())
        assert broker.pid is not None
        os.kill(broker.pid, signal.SIGKILL)
        wait_until(lambda: broker.pid is None, "the broker has ended")
        broker.start()
        broker.wait_ready()
        pipeline.wait_progress(2_000, seconds=60)
        lines = len(worker.log.splitlines()) - lines
        pipeline.finish(log_lines=lines)
        assert lines < LINES_AN_OUTAGE
