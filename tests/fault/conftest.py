"""Fixtures of the fault tier: an empty cluster and a pipeline on it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.broker.own_cluster import own_broker, own_kafka
from tests.fault.pipeline import Pipeline
from tests.kafka import Kafka

__all__ = ["own_broker", "own_kafka"]

PipelineFactory = Callable[..., Pipeline]


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
