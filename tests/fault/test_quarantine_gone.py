"""X26: the quarantine topic is deleted under a worker, and made again."""

from __future__ import annotations

import json
import subprocess

import pytest

from local_stack.ports import free_port
from tests.fault.checker import QUARANTINE
from tests.fault.conftest import PipelineFactory
from tests.fault.fleet import READINGS
from tests.fault.workers import COMMAND
from tests.http_client import get
from tests.kafka import Kafka, wait_until


@pytest.mark.timeout(150)
def test_x26_only_a_partition_with_bad_records_waits_for_the_quarantine(
    own_kafka: Kafka, pipeline_factory: PipelineFactory
) -> None:
    pipeline = pipeline_factory(own_kafka)
    fleet = pipeline.fleet_of(bad=0)  # what was quarantined before would be lost with the topic
    port = free_port()
    worker = pipeline.workers.add(STREAM_APP_HTTP_PORT=str(port))
    fleet.publish(2_000)
    pipeline.drain()
    own_kafka.delete_topic(QUARANTINE)
    wait_until(lambda: QUARANTINE not in pipeline.admin.list_topics(timeout=5).topics, "it is gone")

    fleet.send_bad(b"no reading", partition=0)
    fleet.publish(2_000)
    fleet.flush()
    ends = own_kafka.end_offsets(READINGS)
    others = {partition: end for partition, end in ends.items() if partition}
    wait_until(
        lambda: pipeline.follower.has_reached(others) and get(port, "/ready").status == 503,
        f"the others go on: {worker.log[-1500:]}",
        60,
    )
    reasons = json.loads(get(port, "/ready").text)["reasons"]
    assert len(reasons) == 1
    assert reasons[0].startswith(f"partition 0 waits: {QUARANTINE}")
    assert pipeline.follower.applied[0] < ends[0] - 1
    assert worker.exit_codes == []

    create = [COMMAND[0], "topics", "create"]
    subprocess.run(create, env=pipeline.environ, capture_output=True, timeout=60, check=True)
    found = pipeline.finish()
    assert worker.exit_codes == []
    assert found["quarantined"] == 1
    assert get(port, "/ready").status == 0
