"""Fixtures of the broker tier."""

from collections.abc import Callable
from pathlib import Path

import pytest

from local_stack.broker.process import LocalBroker
from tests.broker.own_cluster import cluster, own_broker, own_kafka, settings_factory
from tests.longest_first import begin_with

__all__ = ["cluster", "own_broker", "own_kafka", "settings_factory"]

#: Begun first, in this order: the tier ends with its last test.
LONGEST = (
    "test_retention.py",
    "test_prefix.py",
    "test_secured_broker.py",
    "test_load.py",
    "test_importer.py",
    "test_fenced_logs.py",
    "test_local_broker.py",
    "test_simulate.py",
)


@pytest.fixture
def running_broker(broker_factory: Callable[..., LocalBroker]) -> LocalBroker:
    """A broker of the test's own, to be killed or frozen."""
    broker = broker_factory()
    broker.start()
    broker.wait_ready(60)
    return broker


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest tests of this tier before the others."""
    begin_with(LONGEST, Path(__file__).parent, items)
