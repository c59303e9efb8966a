"""Bodies with a key against a real broker: once in the log, whoever writes them."""

from __future__ import annotations

import asyncio
import json
from itertools import count

import pytest

from api.errors import NotWritten, PartlyWritten
from api.idempotency import KEPT_SECONDS, KIND, KeyedWrites, Written, place_of
from contract.topics import IMPORTS, QUARANTINE, READINGS
from producer.positions import PositionLog
from producer.settings import ProducerSettings
from tests.kafka import Kafka
from tests.records import reading_value

KEYS = 4
MANY = 12_000


def body_of(key: int) -> bytes:
    return reading_value("shared", str(1 << key)) + b'\n{"bad": %d}' % key


async def insist(replica: KeyedWrites, key: str, body: bytes) -> Written:
    """Send it again until it is acknowledged, as a client would whose answer is lost."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await replica.write(key, body)
            except (NotWritten, PartlyWritten):
                await asyncio.sleep(0.1)


@pytest.mark.timeout(150)
async def test_b14_a_body_is_in_the_log_once_over_replicas_and_restarts(own_kafka: Kafka) -> None:
    for topic in (READINGS, QUARANTINE, IMPORTS):
        own_kafka.create_topic(topic.name, 1, topic.configs)
    settings = ProducerSettings.load({}, bootstrap_servers=own_kafka.bootstrap_servers)
    now = 1_700_000_000.0
    replicas = [KeyedWrites(settings, 1_000, clock=lambda: now) for _ in range(2)]
    for key in range(KEYS):
        first, second = replicas[key % 2], replicas[(key + 1) % 2]
        # At the same time, and then again: the slot goes from one to the other and back.
        both = await asyncio.gather(
            *(insist(each, f"key{key}", body_of(key)) for each in (first, second, first))
        )
        assert {each[:2] for each in both} == {(1, 1)}
        assert sum(each.is_new for each in both) <= 1
    large = b"\n".join(reading_value(f"device_{n}", str(n)) for n in range(MANY))
    assert (await insist(replicas[0], "large", large))[:2] == (MANY, 0)
    for replica in replicas:
        await replica.close(5)

    restarted = KeyedWrites(settings, 1_000, clock=lambda: now)
    for key in range(KEYS):
        assert await insist(restarted, f"key{key}", body_of(key)) == (1, 1, False)
    assert await insist(restarted, "large", large) == (MANY, 0, False)
    values = [json.loads(record.value() or b"") for record in own_kafka.read(READINGS.name)]
    shared = [value["energy_consumed"] for value in values if value["device_id"] == "shared"]
    assert sorted(shared) == [1 << key for key in range(KEYS)]
    assert len(values) == KEYS + MANY
    bad = [json.loads(record.value() or b"") for record in own_kafka.read(QUARANTINE.name)]
    assert sorted(json.loads(each["__value"])["bad"] for each in bad) == list(range(KEYS))

    now += KEPT_SECONDS
    # A new key of the same slot: the old one goes in its transaction.
    slot, old = place_of("large")
    new = next(f"new{n}" for n in count() if place_of(f"new{n}")[0] == slot)
    assert (await insist(restarted, new, body_of(0)))[:2] == (1, 1)
    await restarted.close(5)
    with PositionLog(settings, f"{KIND}/{slot:02d}/".encode()) as log:
        left = [key.decode().rpartition("/")[2] for key in log.read()]
    assert place_of(new)[1] in left
    assert old not in left
