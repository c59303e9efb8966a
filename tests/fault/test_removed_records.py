"""X17, X31: records that somebody removed from the changelog or, unread, from the readings."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource

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


def remove_before(pipeline: Pipeline, topic: str, offset: int, partition: int) -> None:
    """Remove what stands before an offset."""
    place = TopicPartition(topic, partition, offset)

    def removed() -> bool:
        (done,) = pipeline.admin.delete_records([place]).values()
        try:
            done.result(10)
        except KafkaException as refused:
            # A broker answers that a policy is set before its log has taken it.
            if refused.args[0].code() == KafkaError.POLICY_VIOLATION:
                return False
            raise
        return True

    wait_until(removed, f"what stands before {offset} is removed", 10)


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
    for partition in range(pipeline.partitions):
        remove_before(pipeline, CHANGELOG, 3, partition)
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
