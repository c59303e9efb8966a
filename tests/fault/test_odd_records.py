"""K3 to K6, K61, K69: odd keys and headers, devices without end, and batches that swell."""

from __future__ import annotations

import hashlib
import json
from contextlib import AbstractContextManager
from fractions import Fraction
from typing import Any

import pytest
from confluent_kafka import Producer

from tests.fault.checker import QUARANTINE
from tests.fault.conftest import PipelineFactory
from tests.fault.fleet import READINGS
from tests.fault.pipeline import Pipeline
from tests.fault.workers import WorkerProcess
from tests.kafka import ANSWER_SECONDS, Kafka
from tests.process_memory import Highest, highest_memory

KEYS = [None, b"another device", b"\xff\xfe", b"", "ü".encode() * 450_000]
HEADERS = [(f"h{number}", b"v") for number in range(10_000)]
MB = 1024 * 1024
DEVICES = 1_000_000
#: A device is a dict entry and a record of a transaction while it is pending, and a key of the
#: store; the worker alone has 120 MB.
DEVICES_MB = 700
#: A million rows of each view are half a minute's work of a core, which three other tests share.
DEVICES_SECONDS = 120
#: Of one record: 250 of them are a batch of 16 MB that is sent as a few kB, and all batches
#: come in one fetch.
SWOLLEN_BYTES = 64 * 1024
SWOLLEN_RECORDS = 250
SWOLLEN_BATCHES = 40
#: What is folded at once, twice: 2,000 records each.
SWOLLEN_MB = 450


def reading(device: str, energy: int, padding: str = "") -> bytes:
    value = (
        f'{{"timestamp": "2025-04-30 10:11:21", "device_id": "{device}", '
        f'"energy_consumed": {energy}, "location": "x"{padding}}}'
    )
    return value.encode()


def producer_of(pipeline: Pipeline, **settings: Any) -> Producer:
    defaults = {"linger_ms": 50, "queue_buffering_max_kbytes": 2**20}
    return pipeline.kafka.producer(**{**defaults, **settings})


def watched(worker: WorkerProcess) -> AbstractContextManager[Highest]:
    """The most memory that it takes as long as this is entered."""
    assert worker.pid is not None
    return highest_memory(worker.pid)


@pytest.mark.timeout(120)
def test_k3_k4_k5_k6_odd_keys_and_headers_count_and_are_quarantined(pipeline: Pipeline) -> None:
    pipeline.workers.add()
    oracle = pipeline.fleet.oracle
    producer = producer_of(pipeline)
    bad: dict[tuple[int, int], bytes | None] = {}

    def counted(error: Any, message: Any) -> None:
        assert error is None
        oracle.good[message.partition(), message.offset()] = "odd"

    def refused(error: Any, message: Any) -> None:
        assert error is None
        bad[message.partition(), message.offset()] = message.key()

    for number, key in enumerate(KEYS):
        for headers in ([], HEADERS):
            # With both the record would be larger than the broker takes.
            if headers and len(key or b"") > 1_000:
                continue
            for on_delivery, value in ((counted, reading("odd", number)), (refused, b"{}")):
                producer.produce(
                    READINGS, value, key, partition=0, headers=headers, on_delivery=on_delivery
                )
            oracle.totals["odd"] += Fraction(number)
            oracle.counts["odd"] += 1
    assert producer.flush(ANSWER_SECONDS) == 0
    oracle.bad |= set(bad)
    pipeline.fleet.publish(200)
    found = pipeline.finish()
    assert found["quarantined"] >= len(bad) == 2 * len(KEYS) - 1
    records = pipeline.kafka.read(QUARANTINE)
    rows = [(json.loads(record.value()), record.key()) for record in records]
    kept = {(row["__partition"], row["__offset"]): (row, key) for row, key in rows}
    for place, key in bad.items():
        row, own_key = kept[place]
        assert own_key == (None if key is None else key[:1024]), "as received, up to 1 KiB"
        assert len(row["__key"] or "") <= 1024
        if key == b"\xff\xfe":
            assert (row["__key"], row["__key_base64"]) == (None, "//4=")
        elif key is not None and len(key) > 1024:
            assert key.decode().startswith(row["__key"])
            assert len(row["__key"].encode()) == 1024
            assert row["__key_length"] == len(key)
            assert row["__key_sha256"] == hashlib.sha256(key).hexdigest()
        else:
            assert row["__key"] == (None if key is None else key.decode())


@pytest.mark.timeout(240)
def test_k61_a_million_devices_a_minute_count_in_bounded_memory(
    own_kafka: Kafka, pipeline_factory: PipelineFactory
) -> None:
    # Nobody is killed here, so nobody waits for a transaction that somebody has left open.
    pipeline = pipeline_factory(own_kafka, STREAM_APP_TRANSACTION_TIMEOUT_SECONDS="15")
    worker = pipeline.workers.add()
    pipeline.workers.wait_working()
    producer = producer_of(pipeline, queue_buffering_max_messages=DEVICES)
    with watched(worker) as memory:
        for number in range(DEVICES):
            producer.produce(READINGS, reading(f"device_{number}", number), b"%d" % number)
        assert producer.flush(ANSWER_SECONDS) == 0
        pipeline.wait_applied("all", seconds=DEVICES_SECONDS)
    parts = pipeline.follower.last
    found = {key: value for part in parts for key, value in part.items() if key[0]}
    print(f"peak {memory.bytes / MB:.0f} MB")
    assert len(found) == DEVICES
    assert all(found[b"device_%d" % number] == b"1 1 %d" % number for number in range(DEVICES))
    assert memory.bytes < DEVICES_MB * MB
    assert pipeline.workers.stop() == {"worker-0": 0}


@pytest.mark.timeout(120)
def test_k69_batches_packed_a_thousand_to_one_count_in_bounded_memory(
    pipeline: Pipeline,
) -> None:
    worker = pipeline.workers.add()
    pipeline.workers.wait_working()
    producer = producer_of(
        pipeline,
        compression_type="zstd",
        message_max_bytes=10**9,
        batch_size=SWOLLEN_BYTES * SWOLLEN_RECORDS,
        linger_ms=60_000,
    )
    padding = " " * (SWOLLEN_BYTES - len(reading("swollen", 1_000_000)))
    with watched(worker) as memory:
        for number in range(SWOLLEN_BATCHES):
            for place in range(SWOLLEN_RECORDS):
                value = reading("swollen", number * SWOLLEN_RECORDS + place, padding)
                producer.produce(READINGS, value, partition=0)
            assert producer.flush(ANSWER_SECONDS) == 0
        pipeline.wait_applied("all", seconds=60)
    count = SWOLLEN_BATCHES * SWOLLEN_RECORDS
    total = pipeline.follower.last[0][b"swollen"]
    print(f"grown by {memory.growth / MB:.0f} MB")
    assert memory.growth < SWOLLEN_MB * MB
    assert total == b"1 %d %d" % (count, count * (count - 1) // 2)
    assert pipeline.workers.stop() == {"worker-0": 0}
