"""X4: a worker that was stopped for longer than its session wakes up behind its successor."""

from __future__ import annotations

import signal

import pytest

from tests.fault.pipeline import Pipeline
from tests.kafka import wait_until

ROUNDS = 2


@pytest.mark.timeout(120)
def test_x4_a_zombie_writes_nothing_and_says_that_it_must_restart(pipeline: Pipeline) -> None:
    workers = [pipeline.workers.add(), pipeline.workers.add()]
    pipeline.fleet.start()
    pipeline.wait_progress()
    pipeline.workers.wait_working()
    for zombie, other in (workers, reversed(workers)):
        pipeline.wait_progress(500)
        zombie.send(signal.SIGSTOP)
        wait_until(
            lambda other=other: last_owned(other.last_start) == {"0", "1", "2", "3"},
            f"the other worker has all partitions: {other.log[-800:]}",
        )
        pipeline.wait_progress(1_000)
        ends = len(zombie.exit_codes)
        zombie.send(signal.SIGCONT)
        wait_until(
            lambda zombie=zombie, ends=ends: len(zombie.exit_codes) > ends,
            f"the zombie has ended: {zombie.log[-800:]}",
            20,
        )
        assert zombie.exit_codes[-1] == 75
        last_words = zombie.log.split("--- start\n")[-2].splitlines()[-1]
        assert "CRITICAL" in last_words
        assert "fenced" in last_words.lower()
        wait_until(zombie.is_working, f"it works again: {zombie.log[-800:]}", 40)
    pipeline.finish()


def last_owned(log: str) -> set[str]:
    """The partitions of the last line that names them."""
    line = log.rpartition("working on {")[2].partition("}")[0]
    return {entry.split(":")[0].strip() for entry in line.split(",") if entry}
