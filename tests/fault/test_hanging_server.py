"""X10: the first of the bootstrap servers takes connections and never answers."""

from __future__ import annotations

import socket
import time

import pytest

from tests.fault.pipeline import Pipeline

#: aiokafka alone waits 40 s for it, once for each client that a worker has.
START_SECONDS = 20


@pytest.mark.timeout(120)
def test_x10_a_worker_starts_beside_a_server_that_hangs(pipeline: Pipeline) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=128) as hanging:
        servers = f"127.0.0.1:{hanging.getsockname()[1]},{pipeline.kafka.bootstrap_servers}"
        pipeline.fleet.start()
        began = time.monotonic()
        pipeline.workers.add(KAFKA_BOOTSTRAP_SERVERS=servers)
        pipeline.wait_progress(1_000, seconds=100)
        seconds = time.monotonic() - began
        pipeline.finish(seconds_to_start=round(seconds, 1))
    assert seconds < START_SECONDS
