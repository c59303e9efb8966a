"""X25, X49: floods of bad records, and other people's transactions on the readings topic."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from tests.fault.fleet import READINGS
from tests.fault.pipeline import Pipeline
from tests.kafka import ANSWER_SECONDS, wait_until

BAD_IN_A_ROW = 10_000


@pytest.mark.timeout(120)
def test_x25_each_bad_record_of_a_flood_is_quarantined_once(pipeline: Pipeline) -> None:
    worker = pipeline.workers.add()
    pipeline.fleet_of(bad=0.1)
    pipeline.fleet.publish(2_000)
    pipeline.fleet.publish_bad(BAD_IN_A_ROW)
    pipeline.fleet.publish(2_000)
    pipeline.wait_progress(2_000)
    pipeline.workers.replace(worker)
    found = pipeline.finish()
    assert found["quarantined"] > BAD_IN_A_ROW


def transactional(pipeline: Pipeline, name: str) -> Any:
    producer = pipeline.kafka.producer(transactional_id=f"foreign-{name}")
    producer.init_transactions(ANSWER_SECONDS)
    producer.begin_transaction()
    return producer


def produce(producer: Any, device: str, energies: range, delivered: Any = None) -> None:
    for energy in energies:
        value = (
            f'{{"timestamp": "2025-04-30 10:11:21", "device_id": "{device}", '
            f'"energy_consumed": {energy}, "location": "x"}}'
        )
        producer.produce(READINGS, value, partition=0, on_delivery=delivered)
    producer.flush(ANSWER_SECONDS)


@pytest.mark.timeout(120)
def test_k71_x49_aborted_readings_do_not_count_and_open_ones_wait(pipeline: Pipeline) -> None:
    pipeline.workers.add()
    pipeline.fleet.start()
    for number in range(3):
        aborted = transactional(pipeline, f"aborted-{number}")
        produce(aborted, "ghost", range(1 << 40, (1 << 40) + 50))
        aborted.abort_transaction(ANSWER_SECONDS)

    oracle = pipeline.fleet.oracle

    def delivered(error: Any, message: Any) -> None:
        assert error is None
        oracle.good[message.partition(), message.offset()] = "patient"

    pipeline.wait_progress(500)
    opened = transactional(pipeline, "open")
    produce(opened, "patient", range(100, 200), delivered)
    first = min(o for (p, o), device in oracle.good.copy().items() if (p, device) == (0, "patient"))
    wait_until(
        lambda: pipeline.follower.applied[0] == first - 1, "all before the open one is applied"
    )
    # Others go on; what is behind the open transaction waits.
    others = sum(pipeline.follower.applied[1:])
    wait_until(lambda: sum(pipeline.follower.applied[1:]) > others + 1_000, "others go on")
    assert pipeline.follower.applied[0] == first - 1
    opened.commit_transaction(ANSWER_SECONDS)
    oracle.totals["patient"] += Fraction(sum(range(100, 200)))
    oracle.counts["patient"] += 100
    wait_until(lambda: pipeline.follower.applied[0] > first + 100, "it goes on")
    found = pipeline.finish()
    assert b"ghost" not in {key for part in pipeline.follower.last for key in part}
    assert found["I3"] == 0
