"""Lag in seconds against a real log: control records, an open transaction, a worker that hangs."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from contract.topics import READINGS
from kafka_io.cluster import Cluster
from kafka_io.lag_seconds import LagSeconds
from local_stack.ports import free_port
from operations.bootstrap import prepare
from tests import http_client
from tests.broker.own_cluster import SettingsFactory
from tests.kafka import Kafka, TransactionalWriter, wait_until
from tests.records import reading_value

DEADLINE_SECONDS = 20


async def lag_of(kafka: Kafka, topic: str, applied: int) -> float:
    """Look for three seconds, and return what a reader's lag is then."""
    lag: LagSeconds[str] = LagSeconds(kafka.connection, topic, lambda: {"r": {0: applied}})
    looking = asyncio.create_task(lag.run())
    await asyncio.sleep(3)
    seconds = lag.seconds()["r"][0]
    looking.cancel()
    return seconds


async def test_the_lag_is_of_records_and_not_of_what_ends_a_transaction(
    kafka: Kafka, topic_factory: Callable[..., str]
) -> None:
    topic = topic_factory("in", partitions=1)
    writer = TransactionalWriter(kafka, topic)
    writer.write([(None, b"a")])
    assert await lag_of(kafka, topic, applied=0) == 0, "offset 1 ends the transaction"
    began = time.time()
    writer.begin([(None, b"b")])
    waited = await lag_of(kafka, topic, applied=1)
    assert 2.5 < waited < time.time() - began + 0.5, "an open transaction holds its records up"
    writer.end(is_aborted=True)
    behind = int((time.time() - 500) * 1000)
    kafka_producer = kafka.producer()
    kafka_producer.produce(topic, b"c", partition=0, timestamp=behind)
    kafka_producer.flush(DEADLINE_SECONDS)
    assert await lag_of(kafka, topic, applied=3) == pytest.approx(504, abs=3)


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


@pytest.mark.timeout(120)
def test_the_lag_of_a_worker_that_hangs_grows_in_each_of_its_views(
    cluster: Cluster,
    own_kafka: Kafka,
    settings_factory: SettingsFactory,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    prepare(cluster, settings_factory(ENERGY_SERIES="on"))
    home, port = tmp_path_factory.mktemp("wedged"), free_port()
    environ = {
        **os.environ,
        "KAFKA_BOOTSTRAP_SERVERS": own_kafka.bootstrap_servers,
        "ENERGY_HOME": str(home),
        "STREAM_APP_HTTP_PORT": str(port),
    }
    with (home / "log").open("wb") as output:
        worker = subprocess.Popen(
            [sys.executable, "-c", WEDGED], env=environ, stdout=output, stderr=output
        )

    def lags() -> dict[str, float]:
        text = http_client.get(port, "/metrics", seconds=5).text
        found = re.findall(
            r'^stream_app_(lag|view_lag)_seconds\{[^}]*partition="1"[^}]*\} (.*)$', text, re.M
        )
        return {name: float(seconds) for name, seconds in found}

    try:
        wait_until(lambda: lags() == {"lag": 0, "view_lag": 0}, "it is at work", 60)
        own_kafka.write(READINGS.name, [reading_value()], partition=1)
        wait_until(lambda: min(lags().values(), default=0) > 1, "it lags", 20)
        first, seen_at = lags(), time.monotonic()
        time.sleep(3)
        last, passed = lags(), time.monotonic() - seen_at
    except AssertionError as error:
        raise AssertionError(f"{error}; {lags()}\n{(home / 'log').read_text()}") from None
    finally:
        worker.kill()
        worker.wait(10)
    for name in ("lag", "view_lag"):
        assert last[name] - first[name] == pytest.approx(passed, abs=0.5), name
