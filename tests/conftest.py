"""Fixtures of every tier; a test's tier is the directory it is in."""

import re
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local_stack.broker.java import check_broker_parts
from local_stack.broker.process import LocalBroker
from tests.kafka import Kafka
from tests.shared_broker import shared_broker

TESTS = Path(__file__).parent
LONGEST_NAME = 120
"""Kafka allows 249; a changelog's name is made of a topic's and more."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with its tier."""
    for item in items:
        tier = item.path.relative_to(TESTS).parts[0]
        item.add_marker("benchmark" if tier == "benchmarks" else tier)


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[Kafka]:
    """The run's real broker, shared by all tests: use topics of your own."""
    directory = tmp_path_factory.getbasetemp()
    if worker_id != "master":
        directory = directory.parent
    with shared_broker(directory) as bootstrap_servers:
        yield Kafka(bootstrap_servers)


@pytest.fixture
def unique_name(request: pytest.FixtureRequest) -> str:
    """A name for topics and groups: the test's own, and what no other run has."""
    readable = re.sub(r"[^a-zA-Z0-9]+", "-", request.node.name)[:LONGEST_NAME]
    return f"{readable}-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def topic_factory(kafka: Kafka, unique_name: str) -> Callable[..., str]:
    """`topic_factory("in", partitions=4, configs={...})` creates a topic, gives its name."""

    def create(label: str = "topic", **overrides: object) -> str:
        return kafka.create_topic(f"{unique_name}-{label}", **overrides)  # type: ignore[arg-type]

    return create


@pytest.fixture
def broker_factory(tmp_path: Path) -> Iterator[Callable[..., LocalBroker]]:
    """`broker_factory(**overrides)` gives a broker of the test's own, not started yet.

    Its directory is `tmp_path / "broker"` unless `data_dir` says otherwise. Killed at the end.
    """
    check_broker_parts(print)
    brokers: list[LocalBroker] = []

    def create(**overrides: object) -> LocalBroker:
        settings = {"data_dir": tmp_path / "broker", "port": 0, **overrides}
        brokers.append(LocalBroker(**settings))  # type: ignore[arg-type]
        return brokers[-1]

    yield create
    for broker in brokers:
        broker.kill()
