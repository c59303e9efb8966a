"""X56: a readings log that lost records which were counted, and grew again; same topic, same id."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from local_stack.broker.process import LocalBroker
from local_stack.ports import free_port
from tests.fault.conftest import PipelineFactory
from tests.fault.fleet import READINGS
from tests.http_client import get
from tests.kafka import Kafka, wait_until
from tests.records import reading_value
from tests.shared_broker import QUICK_PROPERTIES

COUNTED, KEPT = 100, 50


def cut_log(broker: Path, partition: int, offset: int) -> None:
    """Cut a partition's only segment at a batch, as a volume that was restored has it."""
    directory = next(broker.glob(f"**/{READINGS}-{partition}"))
    segment = directory / f"{0:020}.log"
    content = segment.read_bytes()
    at = 0
    while at < len(content) and int.from_bytes(content[at : at + 8]) < offset:
        at += 12 + int.from_bytes(content[at + 8 : at + 12])
    assert int.from_bytes(content[at : at + 8]) == offset, "there is such a batch"
    os.truncate(segment, at)
    for index in (*directory.glob("*index"), *directory.glob("*.snapshot")):
        index.unlink()


@pytest.mark.timeout(120)
def test_x56_a_log_with_other_contents_stops_its_partition_only(
    broker_factory: Callable[..., LocalBroker], pipeline_factory: PipelineFactory, tmp_path: Path
) -> None:
    port = free_port()
    # Partition 0 grows beyond what was counted, 1 does not, 2 loses nothing.
    added = {0: 60, 1: 10, 2: 10}
    with broker_factory(properties=QUICK_PROPERTIES) as broker:
        pipeline = pipeline_factory(Kafka(broker.bootstrap_servers), partitions=3)
        worker = pipeline.workers.add(STREAM_APP_HTTP_PORT=str(port))
        for partition in added:
            for _ in range(COUNTED // KEPT):
                values = [reading_value(f"p{partition}")] * KEPT
                pipeline.kafka.write(READINGS, values, partition=partition)
        pipeline.wait_applied("all counted")
        assert broker.pid is not None
        os.kill(broker.pid, signal.SIGKILL)
        wait_until(lambda: broker.pid is None, "the broker has ended")
        for partition in (0, 1):
            cut_log(tmp_path / "broker", partition, KEPT)
        broker.start()
        broker.wait_ready()
        for partition, count in added.items():
            values = [reading_value(f"other-{partition}")] * count
            pipeline.kafka.write(READINGS, values, partition=partition)
        replaced = f"{READINGS} is not the log that was counted: at offset {COUNTED - 1}"
        shorter = f"{COUNTED - 1} is applied, but the readings topic ends at {KEPT + 10}"

        def refused(partition: int, text: str) -> bool:
            lines = [line for line in text.splitlines() if f"partition {partition}:" in line]
            return any(replaced in line or shorter in line for line in lines)

        # By itself, or after the rebalance or restart that a lost broker may lead to.
        wait_until(
            lambda: refused(0, worker.log) and refused(1, worker.log),
            f"both are set aside: {worker.log}",
            40,
        )
        wait_until(lambda: pipeline.follower.has_reached({2: COUNTED + 10}), "2 continues", 40)
        assert worker.stop() == 0
        worker.start()
        wait_until(
            lambda: replaced in get(port, "/ready").text and shorter in get(port, "/ready").text,
            f"a start says so too: {worker.last_start}",
            40,
        )
        pipeline.kafka.write(READINGS, [reading_value()], partition=2)
        wait_until(lambda: pipeline.follower.has_reached({2: COUNTED + 11}), "2 continues", 40)
        assert pipeline.follower.applied[:2] == [COUNTED - 1] * 2, "nothing of the other log counts"
        assert "Traceback" not in worker.log
