"""X27: the wall clock jumps by years, workers live in different time zones; the totals do not."""

from __future__ import annotations

import json
import sys

import pytest

from tests.fault.pipeline import Pipeline

JUMPING = (sys.executable, "-m", "tests.fault.jumping_clock")
QUARANTINE = "energy_consumption_quarantine"
ZONES = ("UTC", "Pacific/Kiritimati", "America/St_Johns", "Asia/Kolkata")


@pytest.mark.timeout(120)
def test_x27_jumping_clocks_in_four_time_zones_change_no_total(pipeline: Pipeline) -> None:
    pipeline.fleet.start()
    for zone in ZONES:
        pipeline.workers.add(command=JUMPING, TZ=zone)
    pipeline.workers.wait_working()
    pipeline.wait_progress(4_000)
    pipeline.workers.replace(pipeline.workers.all[0], lose_directory=True)
    pipeline.wait_progress(4_000)
    pipeline.finish()
    records = pipeline.kafka.read(QUARANTINE)
    years = {json.loads(record.value() or b"")["insertion_date"][:4] for record in records}
    assert len(years) >= 3, "the clock has not jumped"
    # Kafka refuses what is stamped an hour ahead: no worker must have ended for that.
    assert {code for worker in pipeline.workers.all for code in worker.exit_codes} == {-9}
