"""A worker whose processors have wedged ends itself; its supervisor starts it again."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from contract.topics import READINGS
from kafka_io.cluster import Cluster
from operations.bootstrap import prepare
from tests.broker.own_cluster import SettingsFactory
from tests.kafka import Kafka, wait_until

#: The real worker, but its processors never take what is pending.
WEDGED = """
import asyncio, sys
from stream_app.ownership import processor
async def never(self):
    await asyncio.Event().wait()
processor.PartitionProcessor._run = never
from stream_app.__main__ import main
sys.exit(main())
"""
STUCK_SECONDS = 5


@pytest.mark.timeout(120)
def test_a_wedged_worker_ends_with_75_while_the_log_grows(
    cluster: Cluster,
    own_kafka: Kafka,
    settings_factory: SettingsFactory,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    prepare(cluster, settings_factory())
    log = tmp_path_factory.mktemp("wedged") / "log"
    environ = {
        **os.environ,
        "KAFKA_BOOTSTRAP_SERVERS": own_kafka.bootstrap_servers,
        "ENERGY_HOME": str(log.parent),
        "STREAM_APP_TRANSACTION_TIMEOUT_SECONDS": "5",
        "STREAM_APP_STUCK_SECONDS": str(STUCK_SECONDS),
    }
    with log.open("wb") as output:
        worker = subprocess.Popen(
            [sys.executable, "-c", WEDGED], env=environ, stdout=output, stderr=output
        )
    try:

        def has_ended() -> bool:
            own_kafka.write(READINGS.name, [b"{}"], partition=1)
            return worker.poll() is not None

        wait_until(has_ended, "it ended by itself", 60)
    finally:
        worker.kill()
    assert worker.wait(10) == 75, log.read_text()
    assert "nothing was applied in 24 looks" in log.read_text()
    assert "partition 1 at -1 of" in log.read_text()
    assert "Traceback" not in log.read_text()
