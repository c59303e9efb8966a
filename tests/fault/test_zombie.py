"""X4: a worker that was stopped for longer than its session wakes up behind its successor."""

from __future__ import annotations

import signal

import pytest

from tests.fault.pipeline import Pipeline
from tests.kafka import wait_until

STEPS = ("begun", "changelog_sent", "batch_made")
"""Two within a commit that Kafka knows of; after the third the log itself refuses a batch."""


@pytest.mark.timeout(240)
def test_x4_a_zombie_writes_nothing_and_says_that_it_must_restart(pipeline: Pipeline) -> None:
    other = pipeline.workers.add()
    pipeline.fleet.start()
    pipeline.wait_progress()
    zombie = pipeline.workers.add(failpoints=[f"{step}:20:stop" for step in STEPS])
    for ends, step in enumerate(STEPS):
        wait_until(zombie.is_stopped, f"it is stopped at {step}: {zombie.log[-800:]}", 90)
        assert f"failpoint: {step}, SIGSTOP" in zombie.last_start
        wait_until(
            lambda: last_owned(other.last_start) == {"0", "1", "2", "3"},
            "the other worker has all partitions",
        )
        pipeline.wait_progress(1_000)
        zombie.send(signal.SIGCONT)
        wait_until(lambda ends=ends: len(zombie.exit_codes) > ends, "the zombie has ended", 20)
        assert zombie.exit_codes[-1] == 75
        # Its threads may have had a word after it.
        last_words = zombie.log.split("--- start\n")[ends + 1].splitlines()[-5:]
        assert any("CRITICAL" in line and "fenced" in line.lower() for line in last_words), (
            last_words
        )
    wait_until(zombie.is_working, "it works again", 60)
    pipeline.finish()


def last_owned(log: str) -> set[str]:
    """The partitions of the last line that names them."""
    line = log.rpartition("working on {")[2].partition("}")[0]
    return {entry.split(":")[0].strip() for entry in line.split(",") if entry}
