"""X4: a worker that was stopped for longer than its session wakes up behind its successor."""

from __future__ import annotations

import signal
import time

import pytest
from confluent_kafka import IsolationLevel, TopicPartition
from confluent_kafka.admin import OffsetSpec

from tests.fault.follower import CHANGELOG
from tests.fault.pipeline import Pipeline
from tests.fault.workers import WorkerProcess
from tests.kafka import wait_until

TRIES = 200


@pytest.mark.timeout(120)
def test_x4_a_zombie_writes_nothing_and_says_that_it_must_restart(pipeline: Pipeline) -> None:
    workers = [pipeline.workers.add(), pipeline.workers.add()]
    pipeline.fleet.start()
    pipeline.wait_progress()
    pipeline.workers.wait_working()
    for zombie, other in (workers, reversed(workers)):
        wait_until(
            lambda zombie=zombie, other=other: (
                sorted([*last_owned(zombie.last_start), *last_owned(other.last_start)])
                == ["0", "1", "2", "3"]
            ),
            "the two share the partitions",
        )
        pipeline.wait_progress(500)
        ends = len(zombie.exit_codes)
        stop_in_a_transaction(pipeline, zombie)
        wait_until(
            lambda other=other: last_owned(other.last_start) == {"0", "1", "2", "3"},
            "the other worker has all partitions",
        )
        pipeline.wait_progress(1_000)
        zombie.send(signal.SIGCONT)
        wait_until(
            lambda zombie=zombie, ends=ends: len(zombie.exit_codes) > ends,
            "the zombie has ended",
            20,
        )
        assert zombie.exit_codes[-1] == 75
        # Its threads may have had a word after it.
        last_words = zombie.log.split("--- start\n")[-2].splitlines()[-5:]
        assert any("CRITICAL" in line and "fenced" in line.lower() for line in last_words), (
            last_words
        )
        wait_until(zombie.is_working, "it works again", 40)
    pipeline.finish()


def stop_in_a_transaction(pipeline: Pipeline, worker: WorkerProcess) -> None:
    """SIGSTOP it while a transaction of its is open, which readers see as a gap at the end."""
    owned = [int(partition) for partition in last_owned(worker.last_start)]
    assert owned, worker.log
    for _ in range(TRIES):
        worker.send(signal.SIGSTOP)
        # Twice: an end that was on its way has arrived by then.
        if is_open(pipeline, owned) and not time.sleep(0.1) and is_open(pipeline, owned):
            return
        worker.send(signal.SIGCONT)
        pipeline.wait_progress()
    raise AssertionError(f"no transaction was open at any of {TRIES} moments")


def is_open(pipeline: Pipeline, partitions: list[int]) -> bool:
    wanted = {TopicPartition(CHANGELOG, p): OffsetSpec.latest() for p in partitions}
    ends = [
        {tp: done.result().offset for tp, done in found.items()}
        for level in (IsolationLevel.READ_COMMITTED, IsolationLevel.READ_UNCOMMITTED)
        for found in [pipeline.admin.list_offsets(wanted, isolation_level=level, request_timeout=5)]
    ]
    return ends[0] != ends[1]


def last_owned(log: str) -> set[str]:
    """The partitions of the last line that names them."""
    line = log.rpartition("working on {")[2].partition("}")[0]
    return {entry.split(":")[0].strip() for entry in line.split(",") if entry}
