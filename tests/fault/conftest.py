"""Fixtures of the fault tier: an empty cluster, a pipeline on it, a proxy before it, an API."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from local_stack.broker.process import LocalBroker
from local_stack.broker.properties import Listener
from local_stack.ports import free_port
from tests.broker.own_cluster import own_broker, own_kafka
from tests.fault.another_user import may_be_another_user
from tests.fault.pipeline import Pipeline
from tests.fault.proxy import Proxy
from tests.fault.server import ApiProcess
from tests.fault.small_disk import may_mount
from tests.kafka import Kafka
from tests.longest_first import begin_with
from tests.shared_broker import QUICK_PROPERTIES

__all__ = ["own_broker", "own_kafka"]

HERE = Path(__file__).parent
#: What not everybody may do, by the test that does it: tried, and not guessed.
MAY_RUN = {
    "test_disk_full.py": (may_mount, "no small disk may be mounted here"),
    "test_mounted_volumes.py": (may_be_another_user, "no process may be another user's here"),
}
collect_ignore = [name for name, (may, _) in MAY_RUN.items() if not may()]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was left out: it is neither passed nor skipped."""
    for name in collect_ignore:
        terminalreporter.write_line(f"left out: {name}, because {MAY_RUN[name][1]}")


#: Begun first, in this order: the tier ends with its last test.
LONGEST = (
    "test_anything.py",
    "test_failpoints.py",
    "test_one_partition_refuses.py",
    "test_worker_killed.py",
    "test_odd_records.py",
    "test_network.py",
    "test_api_cut_off.py",
    "test_broker_restarts.py",
    "test_limits.py",
    "test_disk_full.py",
    "test_clock.py",
    "test_broker_killed.py",
    "test_rebalances.py",
    "test_compaction.py",
)
#: Of a test that names none: one that hangs is found as well, and a crowded machine is no fault.
TIMEOUT_SECONDS = 150


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest tests of this tier before the others, and give all of it time."""
    begin_with(LONGEST, HERE, items)
    for item in items:
        if item.path.parent == HERE and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(TIMEOUT_SECONDS))


PipelineFactory = Callable[..., Pipeline]
ApiFactory = Callable[..., ApiProcess]


@pytest.fixture
def seed() -> int:
    """Printed with every verdict; FAULT_SEED=N repeats a run."""
    return int(os.environ.get("FAULT_SEED") or int.from_bytes(os.urandom(4)))


@pytest.fixture
def pipeline_factory(tmp_path: Path, seed: int) -> Iterator[PipelineFactory]:
    """`pipeline_factory(kafka, **overrides)`: a pipeline on an empty cluster."""
    made: list[Pipeline] = []

    def create(kafka: Kafka, **overrides: Any) -> Pipeline:
        made.append(Pipeline(kafka, tmp_path, **{"seed": seed, **overrides}))
        return made[-1]

    yield create
    for pipeline in made:
        pipeline.close()
        pipeline.show_logs()


@pytest.fixture
def pipeline(own_kafka: Kafka, pipeline_factory: PipelineFactory) -> Pipeline:
    """A pipeline on this process's broker, without workers."""
    return pipeline_factory(own_kafka)


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """Before a port that is the FAULT listener of `proxied_pipeline`'s broker once it runs."""
    proxy = Proxy(free_port())
    yield proxy
    proxy.close()


@pytest.fixture
def proxied_pipeline(
    broker_factory: Callable[..., LocalBroker], pipeline_factory: PipelineFactory, proxy: Proxy
) -> Iterator[Pipeline]:
    """On a broker that sends the proxy's clients back to the proxy; its own go straight to it."""
    listener = Listener("FAULT", proxy.broker_port, proxy.port)
    broker = broker_factory(properties=QUICK_PROPERTIES, extra_listeners=[listener])
    with broker:
        yield pipeline_factory(Kafka(broker.bootstrap_servers))


@pytest.fixture
def api_factory(tmp_path: Path) -> Iterator[ApiFactory]:
    """`api_factory(pipeline, API_MAX_LAG_RECORDS="500")`: a pipeline's API, not started yet."""
    made: list[ApiProcess] = []

    def create(pipeline: Pipeline, **overrides: str) -> ApiProcess:
        made.append(ApiProcess(tmp_path, {**pipeline.environ, **overrides}))
        return made[-1]

    yield create
    for api in made:
        api.kill()
        print(f"== API\n{api.log[-3000:]}")
