"""X1, X2: workers killed at random moments, with and without their directories."""

from __future__ import annotations

import random
import time

import pytest

from tests.fault.pipeline import Pipeline

KILLS = 10


@pytest.mark.timeout(180)
@pytest.mark.parametrize("lose_directory", [False, True], ids=["x1_kept", "x2_directory_lost"])
def test_kills_at_random_moments_change_no_total(
    pipeline: Pipeline, seed: int, lose_directory: bool
) -> None:
    chance = random.Random(seed)
    workers = [pipeline.workers.add(), pipeline.workers.add()]
    pipeline.fleet.start()
    pipeline.wait_progress()
    for kill in range(KILLS):
        # The other one may just be starting: then nobody works when it hits.
        pipeline.wait_progress(500)
        time.sleep(chance.uniform(0.0, 0.5))  # the moment is the test
        pipeline.workers.replace(workers[kill % 2], lose_directory=lose_directory)
    pipeline.wait_progress(500)
    pipeline.finish(kills=KILLS)
