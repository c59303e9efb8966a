"""X3: workers killed at each step of their work, certainly and not by chance."""

from __future__ import annotations

import random

import pytest

from tests.fault.failpoints import STEPS
from tests.fault.pipeline import Pipeline
from tests.fault.rounds import ONCE
from tests.kafka import wait_until

MOST_TIMES = 40


@pytest.mark.timeout(300)
def test_x3_a_kill_at_each_step_changes_no_total(pipeline: Pipeline, seed: int) -> None:
    chance = random.Random(seed)

    def failpoint(step: str) -> str:
        return f"{step}:{1 if step in ONCE else chance.randint(1, MOST_TIMES)}"

    # Each life ends at the next step; while one of the two dies the other works, or dies too.
    shares = STEPS[::2], STEPS[1::2]
    workers = [pipeline.workers.add(failpoints=map(failpoint, steps)) for steps in shares]
    pipeline.fleet.start()
    wait_until(
        lambda: all(
            f"failpoint: {step}, SIGKILL" in worker.log
            for worker, steps in zip(workers, shares, strict=True)
            for step in steps
        ),
        f"a life has ended at each step: {[worker.failpoints for worker in workers]}",
        200,
    )
    pipeline.wait_progress(500)
    pipeline.finish(steps=len(STEPS))
