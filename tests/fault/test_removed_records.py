"""X17, X31: records that somebody removed from the changelog or, unread, from the readings."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource

from deploy.ports import free_port
from tests.fault.fleet import READINGS
from tests.fault.follower import CHANGELOG
from tests.fault.pipeline import Pipeline
from tests.fault.server import ApiProcess
from tests.fault.workers import COMMAND
from tests.http_client import get
from tests.kafka import wait_until


def set_policy(pipeline: Pipeline, policy: str) -> None:
    entry = ConfigEntry("cleanup.policy", policy, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.TOPIC, CHANGELOG, incremental_configs=[entry])
    for done in pipeline.admin.incremental_alter_configs([resource]).values():
        done.result(10)


def remove_before(pipeline: Pipeline, topic: str, offset: int) -> None:
    """Remove what stands before an offset of partition 0."""
    place = TopicPartition(topic, 0, offset)
    for done in pipeline.admin.delete_records([place]).values():
        done.result(10)


def status(pipeline: Pipeline) -> dict[str, Any]:
    command = [COMMAND[0], "status", "--json"]
    ended = subprocess.run(
        command, env=pipeline.environ, capture_output=True, text=True, timeout=60, check=False
    )
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


@pytest.mark.timeout(120)
def test_x17_a_changelog_without_its_head_is_neither_worked_on_nor_served(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    worker = pipeline.workers.add()
    pipeline.fleet.publish(2_000)
    pipeline.drain()
    assert worker.stop() == 0
    set_policy(pipeline, "compact,delete")  # else Kafka refuses to remove anything
    remove_before(pipeline, CHANGELOG, 3)
    set_policy(pipeline, "compact")
    api = ApiProcess(tmp_path, pipeline.environ)
    api.start()
    try:
        for _ in ("its store is kept", "its store is lost"):
            worker.exit_codes.clear()
            worker.start()
            wait_until(lambda: 3 in worker.exit_codes, f"it refuses: {worker.log[-800:]}", 40)
            assert "has no birth record" in worker.last_start
            worker.lose_directory()
        wait_until(
            lambda: "no birth record in partition 0" in get(api.port, "/ready").text,
            f"the API says why it does not serve: {api.log[-800:]}",
            40,
        )
        assert get(api.port, "/v0/devices/hot", api.token).status == 503
    finally:
        assert api.stop() == 0
    assert any("partition 0" in problem for problem in status(pipeline)["problems"])
    assert "Traceback" not in worker.log + api.log


@pytest.mark.timeout(120)
def test_x31_unread_records_that_are_gone_stop_their_partition_only(pipeline: Pipeline) -> None:
    port = free_port()
    # Longer than anything here: the worker that was asleep is still the owner.
    worker = pipeline.workers.add(
        STREAM_APP_SESSION_TIMEOUT_SECONDS="60", STREAM_APP_HTTP_PORT=str(port)
    )
    pipeline.fleet.publish(2_000)
    pipeline.drain()
    worker.send(signal.SIGSTOP)
    for partition in range(pipeline.partitions):
        pipeline.kafka.write(READINGS, [b"{}"] * 20_000, partition=partition)
    remove_before(pipeline, READINGS, pipeline.kafka.end_offsets(READINGS)[0] - 10)
    worker.send(signal.SIGCONT)
    ends = pipeline.kafka.end_offsets(READINGS)
    others = {partition: end for partition, end in ends.items() if partition}
    wait_until(
        lambda: pipeline.follower.has_reached(others) and "partition 0 waits" in worker.log,
        f"only partition 0 waits: {worker.log[-800:]}",
        40,
    )
    # A chunk that was fetched before it slept may have been applied: what is named is what is so.
    first, last = pipeline.follower.applied[0] + 1, ends[0] - 11
    answer = get(port, "/ready")
    assert answer.status == 503
    assert json.loads(answer.text)["reasons"] == [
        f"partition 0 waits: offsets {first}-{last} were removed before they were read"
    ]
    assert [each for each in status(pipeline)["problems"] if each.startswith("partition")] == [
        f"partition 0: offsets {first}-{last} were removed before they were counted; to go on"
        f" without them: energy worker --accept-lost-offsets 0:{first}-{last}"
    ]
    assert worker.exit_codes == []
    assert "Traceback" not in worker.log
