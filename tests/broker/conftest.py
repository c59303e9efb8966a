"""Fixtures of the broker tier."""

from tests.broker.own_cluster import cluster, own_broker, own_kafka, settings_factory

__all__ = ["cluster", "own_broker", "own_kafka", "settings_factory"]
