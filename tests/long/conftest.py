"""The fixtures of the fault tier."""

from tests.fault.conftest import pipeline_factory, seed

__all__ = ["pipeline_factory", "seed"]
