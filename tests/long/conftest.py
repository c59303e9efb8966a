"""The fixtures of the fault and broker tiers that the long tests take."""

from tests.broker.own_cluster import own_broker, own_kafka, settings_factory
from tests.fault.conftest import pipeline_factory, proxied_pipeline, proxy, seed

__all__ = [
    "own_broker",
    "own_kafka",
    "pipeline_factory",
    "proxied_pipeline",
    "proxy",
    "seed",
    "settings_factory",
]
