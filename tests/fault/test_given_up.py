"""X9: records that Kafka has and does not answer for are given up; none is ever written twice."""

from __future__ import annotations

import json
import time
from collections import Counter

import pytest

from producer.client.reading_producer import ReadingProducer
from producer.settings import ProducerSettings
from tests.fault.fleet import READINGS
from tests.fault.pipeline import Pipeline
from tests.fault.proxy import HOST, Proxy

TIMEOUT_SECONDS = 2.0
ANSWER_SECONDS = 30


def reading(device: str) -> bytes:
    row = {"timestamp": "2025-04-30 10:11:21", "device_id": device}
    return json.dumps(row | {"energy_consumed": 1, "location": "x"}).encode()


@pytest.mark.timeout(120)
def test_x9_a_record_that_outlives_the_one_before_it_is_not_written_again(
    proxied_pipeline: Pipeline, proxy: Proxy
) -> None:
    """Giving one record up must not make the client forget what it sent of the others."""
    settings = ProducerSettings(
        bootstrap_servers=f"{HOST}:{proxy.port}",
        delivery_timeout_seconds=TIMEOUT_SECONDS,
        partitioner="murmur2",
    )
    given_up: list[float] = []
    producer = ReadingProducer(settings, on_given_up=lambda: given_up.append(time.monotonic()))
    deliveries = {}

    def send(device: str) -> None:
        delivery = producer.open()
        delivery.send(READINGS, [reading(device)] * 3, [device.encode()] * 3)
        delivery.seal()
        deliveries[device] = delivery

    def outcome(device: str) -> tuple[int, int, int]:
        found = deliveries[device].wait(ANSWER_SECONDS)
        return found.acknowledged.get(READINGS, 0), found.refused, found.unknown

    try:
        send("before")
        assert outcome("before") == (3, 0, 0)
        for round_ in range(2):
            first, second, after = (f"{which}_{round_}" for which in ("first", "second", "after"))
            proxy.silence(requests=False)
            send(first)
            time.sleep(0.75 * TIMEOUT_SECONDS)  # the difference in age is the test
            send(second)
            assert outcome(first) == (0, 0, 3)
            proxy.heal()
            assert outcome(second) in ((3, 0, 0), (0, 0, 3))
            send(after)
            assert outcome(after) == (3, 0, 0)
    finally:
        producer.stop()
    records = proxied_pipeline.kafka.read(READINGS)
    copies = Counter(json.loads(record.value() or b"")["device_id"] for record in records)
    assert copies == dict.fromkeys(deliveries, 3)
    assert len(given_up) == 2
