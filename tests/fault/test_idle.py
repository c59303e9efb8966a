"""X50: idle for longer than Kafka remembers who wrote: producer ids and transactional ids."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from local_stack.broker.process import LocalBroker
from tests.fault.conftest import PipelineFactory
from tests.fault.server import ApiProcess
from tests.http_client import get, post
from tests.kafka import Kafka, wait_until
from tests.shared_broker import QUICK_PROPERTIES

#: Kafka forgets an idle producer after so long; by default after a day, and after a week.
FORGETS_MS = 3_000
FORGETFUL = QUICK_PROPERTIES | {
    "producer.id.expiration.ms": str(FORGETS_MS),
    "producer.id.expiration.check.interval.ms": "200",
    "transactional.id.expiration.ms": str(FORGETS_MS),
    "transaction.remove.expired.transaction.cleanup.interval.ms": "200",
}
EVENTS = "/v0/events?name=energy_consumption"
READING = (
    '{"timestamp": "2025-04-30 10:11:21", "device_id": "posted", "energy_consumed": 1,'
    ' "location": ""}'
)


@pytest.mark.timeout(150)
def test_x50_writers_that_kafka_has_forgotten_go_on_with_one_restart_at_most(
    broker_factory: Callable[..., LocalBroker],
    pipeline_factory: PipelineFactory,
    tmp_path: Path,
) -> None:
    with broker_factory(properties=FORGETFUL) as broker:
        kafka = Kafka(broker.bootstrap_servers)
        pipeline = pipeline_factory(kafka)
        fleet = pipeline.fleet_of(bad=0)
        worker = pipeline.workers.add()
        api = ApiProcess(tmp_path, pipeline.environ)
        api.start()
        try:
            wait_until(lambda: get(api.port, "/ready").status == 200, api.log, 40)
            for turn in (1, 2):
                fleet.publish(1_000)
                for keyed in ({}, {"Idempotency-Key": f"key-{turn}"}):
                    answer = post(api.port, EVENTS, READING, api.token, keyed)
                    assert answer.status == 202, answer
                fleet.flush()
                pipeline.wait_applied("all", seconds=60)
                if turn == 1:
                    wait_until(lambda: remembered(kafka) == set(), "Kafka has forgotten", 40)
            found = get(api.port, "/v0/devices/posted", api.token)
            assert '"readings":4' in found.text, found
            assert api.stop() == 0
        finally:
            api.kill()
        assert worker.exit_codes in ([], [75]), worker.log
        assert worker.stop() == 0
        assert "Traceback" not in worker.log + api.log
        assert pipeline.fleet.oracle.refused == []


def remembered(kafka: Kafka) -> set[bytes]:
    """The transactional ids of workers that Kafka still knows: the last word on each."""
    last: dict[bytes, bytes | None] = {}
    for record in kafka.each("__transaction_state"):
        last[record.key() or b""] = record.value()
    return {key for key, value in last.items() if value is not None and b"energy-v1-" in key}
