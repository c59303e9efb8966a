"""X7: three brokers are restarted in order, one after the other, as an upgrade does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from local_stack.broker.process import LocalBroker
from tests.fault.conftest import PipelineFactory
from tests.kafka import Kafka
from tests.three_brokers import NODES, ThreeBrokers

ALIVE_SECONDS = 90


@pytest.mark.timeout(480)
def test_x7_rolling_restarts_of_three_brokers_change_no_total(
    broker_factory: Callable[..., LocalBroker], pipeline_factory: PipelineFactory, tmp_path: Path
) -> None:
    cluster = ThreeBrokers(tmp_path, broker_factory=broker_factory)
    cluster.start()
    kafka = Kafka(cluster.bootstrap_servers())
    pipeline = pipeline_factory(kafka, ENERGY_REPLICATION_FACTOR="3")
    pipeline.workers.add()
    pipeline.fleet.start()
    for node in NODES:
        pipeline.wait_progress(2_000, seconds=ALIVE_SECONDS)
        cluster.restart(node)
    pipeline.wait_progress(2_000, seconds=ALIVE_SECONDS)
    pipeline.finish()
