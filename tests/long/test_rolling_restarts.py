"""X7: three brokers are restarted in order, one after the other, as an upgrade does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from local_stack.broker.process import LocalBroker
from tests.fault.conftest import PipelineFactory
from tests.kafka import wait_until
from tests.long.three_brokers import ThreeBrokers

ALIVE_SECONDS = 90


@pytest.mark.timeout(480)
def test_x7_rolling_restarts_of_three_brokers_change_no_total(
    broker_factory: Callable[..., LocalBroker], pipeline_factory: PipelineFactory, tmp_path: Path
) -> None:
    cluster = ThreeBrokers(broker_factory, tmp_path)
    kafka = cluster.start()
    pipeline = pipeline_factory(kafka, ENERGY_REPLICATION_FACTOR="3")
    pipeline.workers.add()
    pipeline.fleet.start()
    for broker in cluster.brokers.values():
        pipeline.wait_progress(2_000, seconds=ALIVE_SECONDS)
        broker.stop(timeout_seconds=60)
        assert broker.exit_code in (0, 143), "it ended in order"
        broker.start()
        broker.wait_ready(ALIVE_SECONDS)
        wait_until(lambda: cluster.in_sync(kafka) == 3, "it has caught up", ALIVE_SECONDS)
    pipeline.wait_progress(2_000, seconds=ALIVE_SECONDS)
    pipeline.finish()
