"""The fixtures of the fault tier."""

from tests.fault.conftest import pipeline_factory, proxied_pipeline, proxy, seed

__all__ = ["pipeline_factory", "proxied_pipeline", "proxy", "seed"]
