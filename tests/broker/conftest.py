"""Fixtures of the broker tier."""

from pathlib import Path

import pytest

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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest tests of this tier before the others."""
    begin_with(LONGEST, Path(__file__).parent, items)
