"""X10: partitions lose their leader, and others of three brokers take over."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from local_stack.broker.process import LocalBroker
from tests.fault.conftest import PipelineFactory
from tests.fault.fleet import READINGS
from tests.fault.follower import CHANGELOG
from tests.kafka import Kafka, wait_until
from tests.three_brokers import ThreeBrokers


@pytest.mark.timeout(480)
def test_x10_a_leader_that_is_killed_or_stopped_is_followed_by_another(
    broker_factory: Callable[..., LocalBroker], pipeline_factory: PipelineFactory, tmp_path: Path
) -> None:
    cluster = ThreeBrokers(tmp_path, broker_factory=broker_factory)
    cluster.start()
    kafka = Kafka(cluster.bootstrap_servers())
    pipeline = pipeline_factory(kafka, ENERGY_REPLICATION_FACTOR="3")
    worker = pipeline.workers.add()
    pipeline.fleet.start()
    pipeline.wait_progress(2_000)

    killed = cluster.leader(READINGS, 0)
    cluster.brokers[killed].kill()
    wait_until(lambda: cluster.leader(READINGS, 0) != killed, "another leads", 60)
    pipeline.wait_progress(2_000, seconds=60)
    cluster.make_whole()

    stopped = cluster.leader(CHANGELOG, 0)
    pid = cluster.brokers[stopped].pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: cluster.leader(CHANGELOG, 0) != stopped, "another leads", 60)
    # Who hangs takes connections and never answers: a request's and a start's patience, 20 s each.
    pipeline.wait_progress(2_000, seconds=120)
    os.kill(pid, signal.SIGCONT)
    pipeline.wait_progress(2_000, seconds=60)
    pipeline.finish()
    assert "configs were not checked" not in worker.log
