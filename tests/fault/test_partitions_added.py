"""X28: the readings topic gets more partitions, by our command or behind our back."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from confluent_kafka.admin import NewPartitions

from local_stack.ports import free_port
from tests.fault.fleet import READINGS
from tests.fault.follower import CHANGELOG
from tests.fault.pipeline import Pipeline
from tests.fault.workers import COMMAND
from tests.http_client import get
from tests.kafka import wait_until

BEFORE, AFTER = 2, 4


def reading(energy: int) -> bytes:
    at = "2025-04-30 10:11:21"
    return json.dumps(
        {"timestamp": at, "device_id": "d", "energy_consumed": energy, "location": ""}
    ).encode()


def publish(pipeline: Pipeline, partitions: int, energy: int) -> None:
    """Ten readings of one device into each partition."""
    for partition in range(partitions):
        pipeline.kafka.write(READINGS, [reading(energy)] * 10, partition=partition)


def counted(pipeline: Pipeline) -> tuple[int, int]:
    """Readings and energy of the device, over all partitions, as the changelog has them."""
    last = {
        record.partition(): (record.value() or b"").split(b" ")
        for record in pipeline.kafka.read(CHANGELOG)
        if record.key() == b"d"
    }
    return sum(int(n) for _, n, _ in last.values()), sum(int(e) for _, _, e in last.values())


def grow(pipeline: Pipeline) -> str:
    command = [str(Path(COMMAND[0])), "topics", "grow", str(AFTER)]
    ended = subprocess.run(
        command, env=pipeline.environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr + ended.stdout
    return ended.stdout


@pytest.mark.timeout(120)
def test_x28_growing_under_a_running_worker_counts_all(pipeline_of_two: Pipeline) -> None:
    pipeline = pipeline_of_two
    worker = pipeline.workers.add()
    publish(pipeline, BEFORE, 1)
    wait_until(lambda: counted(pipeline) == (20, 20), "the first are counted", 40)
    assert "view version 1 counts the added partitions" in grow(pipeline)
    publish(pipeline, AFTER, 1_000)
    wait_until(
        lambda: counted(pipeline) == (60, 40_020),
        f"all are counted, it is {counted(pipeline)}: {worker.log[-1500:]}",
        60,
    )
    assert "nothing, all had them" in grow(pipeline)
    assert set(worker.exit_codes) == {75}
    assert "Traceback" not in worker.log
    assert worker.stop() == 0


@pytest.mark.timeout(120)
def test_x28_partitions_added_by_others_hold_back_nothing_of_the_others(
    pipeline_of_two: Pipeline,
) -> None:
    pipeline, port = pipeline_of_two, free_port()
    worker = pipeline.workers.add(STREAM_APP_HTTP_PORT=str(port))
    publish(pipeline, BEFORE, 1)
    wait_until(lambda: counted(pipeline) == (20, 20), "the first are counted", 40)
    for done in pipeline.admin.create_partitions([NewPartitions(READINGS, AFTER)]).values():
        done.result(10)
    publish(pipeline, AFTER, 1_000)
    for _ in ("running", "started again"):
        wait_until(
            lambda: counted(pipeline) == (40, 20_020),
            f"the old partitions are counted, it is {counted(pipeline)}: {worker.log[-1500:]}",
            40,
        )
        # Counted already when it is started again, and without its signal handler for a moment.
        wait_until(worker.is_working, f"it works on them: {worker.last_start[-1500:]}", 40)
        assert worker.exit_codes == []
        assert worker.stop() == 0
        worker.start()
    wait_until(
        lambda: f"energy topics grow {AFTER}" in str(json.loads(get(port, "/ready").text or "{}")),
        f"it names the command: {worker.log[-1500:]}",
        20,
    )
    grow(pipeline)
    wait_until(
        lambda: counted(pipeline) == (60, 40_020),
        f"all are counted, it is {counted(pipeline)}: {worker.log[-1500:]}",
        40,
    )
    assert set(worker.exit_codes) == {75}
    assert "Traceback" not in worker.log
    assert worker.stop() == 0


@pytest.fixture
def pipeline_of_two(own_kafka: object, pipeline_factory: object) -> Pipeline:
    return pipeline_factory(own_kafka, partitions=BEFORE)  # type: ignore[operator,no-any-return]
