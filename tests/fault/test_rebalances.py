"""X20, X29, X30: workers come and go; the group's offsets lie."""

from __future__ import annotations

import random
import time

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition

from tests.fault.fleet import READINGS
from tests.fault.follower import GROUP
from tests.fault.pipeline import Pipeline
from tests.kafka import wait_until

ROUNDS = 6
LONGEST_UNOWNED_SECONDS = 60


@pytest.mark.timeout(180)
def test_x20_workers_joining_and_leaving_change_no_total(pipeline: Pipeline, seed: int) -> None:
    chance = random.Random(seed)
    workers = [pipeline.workers.add() for _ in range(3)]
    pipeline.fleet.start()
    pipeline.wait_progress()
    longest = 0.0
    for turn in range(ROUNDS):
        time.sleep(chance.uniform(0.2, 1.5))  # into the rebalance before, or after it
        worker = workers[turn % 3]
        if turn % 2:
            pipeline.workers.replace(worker, lose_directory=chance.random() < 0.3)
        else:
            assert worker.stop() == 0, worker.log
            worker.start()
        began = time.monotonic()
        pipeline.wait_progress(200, LONGEST_UNOWNED_SECONDS)
        longest = max(longest, time.monotonic() - began)
    pipeline.finish(longest_pause_seconds=round(longest, 1))


@pytest.mark.timeout(120)
@pytest.mark.parametrize("change", ["x29_deleted", "x30_back", "x30_ahead"])
def test_the_changelog_decides_where_to_go_on_not_the_group(
    pipeline: Pipeline, change: str
) -> None:
    worker = pipeline.workers.add()
    pipeline.fleet.publish(3_000)
    pipeline.wait_progress(3_000)
    assert worker.stop() == 0
    pipeline.follower.stop_sampling()  # what the group says is a lie from here on
    pipeline.fleet.publish(1_000)
    change_offsets(pipeline, change)
    worker.start()
    pipeline.fleet.publish(1_000)
    pipeline.finish()


def change_offsets(pipeline: Pipeline, change: str) -> None:
    """Change the empty group's offsets: gone, all 0, or at the end of the log."""
    admin = pipeline.kafka.admin()

    def is_empty() -> bool:
        return not admin.describe_consumer_groups([GROUP])[GROUP].result(10).members

    wait_until(is_empty, "nobody is in the group")
    if change == "x29_deleted":
        admin.delete_consumer_groups([GROUP])[GROUP].result(10)
        return
    ends = pipeline.kafka.end_offsets(READINGS)
    places = [
        TopicPartition(READINGS, p, end if change == "x30_ahead" else 0) for p, end in ends.items()
    ]
    asked = admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(GROUP, places)])
    asked[GROUP].result(10)
