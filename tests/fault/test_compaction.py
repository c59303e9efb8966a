"""X19: the changelog is compacted as hard as is allowed while workers write and read it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from confluent_kafka.admin import (
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ConfigSource,
    ResourceType,
)

from local_stack.broker.process import LocalBroker
from tests.fault.conftest import PipelineFactory
from tests.fault.early_compaction import COMMAND, LAG_MS
from tests.fault.follower import CHANGELOG, MARKER_KEY
from tests.fault.pipeline import Pipeline
from tests.kafka import Kafka, wait_until
from tests.shared_broker import QUICK_PROPERTIES

#: The cleaner looks for work so often; every 15 s by default.
EAGER = QUICK_PROPERTIES | {"log.cleaner.backoff.ms": "50"}
HARD = {
    "segment.ms": "100",
    "min.compaction.lag.ms": str(LAG_MS),
    "max.compaction.lag.ms": str(LAG_MS),
    "min.cleanable.dirty.ratio": "0.01",
    "delete.retention.ms": "0",
}
LIVES = 2


@pytest.mark.timeout(150)
def test_x19_a_changelog_that_is_compacted_hard_gives_the_same_totals(
    broker_factory: Callable[..., LocalBroker], pipeline_factory: PipelineFactory
) -> None:
    with broker_factory(properties=EAGER) as broker:
        pipeline = pipeline_factory(Kafka(broker.bootstrap_servers))
        compact_hard(pipeline)
        workers = [pipeline.workers.add(command=COMMAND) for _ in range(2)]
        pipeline.fleet.start()
        for life in range(LIVES):
            pipeline.wait_progress(1_000)
            before = first_markers(pipeline)
            pipeline.wait_progress(300)
            wait_until(
                lambda before=before: all(
                    now > then for now, then in zip(first_markers(pipeline), before, strict=True)
                ),
                f"all markers up to {before} are compacted away",
                40,
            )
            pipeline.workers.replace(workers[life % 2], lose_directory=True)
        pipeline.finish(first_markers=first_markers(pipeline))


def compact_hard(pipeline: Pipeline) -> None:
    """Change the changelog's configs under those who use it."""
    entries = [
        ConfigEntry(
            name,
            value,
            source=ConfigSource.DYNAMIC_TOPIC_CONFIG,
            incremental_operation=AlterConfigOpType.SET,
        )
        for name, value in HARD.items()
    ]
    resource = ConfigResource(ResourceType.TOPIC, CHANGELOG, incremental_configs=entries)
    for future in pipeline.admin.incremental_alter_configs([resource]).values():
        future.result(10)


def first_markers(pipeline: Pipeline) -> list[int]:
    """The offset of the first marker that is left in each partition; -1 where there is none."""
    firsts: dict[int, int] = {}
    for record in pipeline.kafka.read(CHANGELOG):
        if record.key() == MARKER_KEY:
            firsts.setdefault(record.partition() or 0, record.offset() or 0)
    return [firsts.get(partition, -1) for partition in range(pipeline.partitions)]
