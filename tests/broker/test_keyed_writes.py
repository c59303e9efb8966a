"""Bodies with a key against a real broker: once in the log, whoever writes them."""

from __future__ import annotations

import asyncio
import json

import pytest

from api.errors import Busy, NotWritten, PartlyWritten
from api.http.allowance import Slices
from api.ingest.idempotency import KeyedWrites
from api.ingest.idempotency_key import Key, Written
from api.ingest.keyed_batches import BodyRows
from api.ingest.keyed_body import KEPT_SECONDS
from contract.key_notes import record_key
from contract.topics import IMPORTS, QUARANTINE, READINGS
from producer.idempotency.key_log import KeyLog
from producer.settings import ProducerSettings
from tests.kafka import Kafka
from tests.records import reading_value

KEYS = 4
MANY = 12_000
#: Of each of two processes, one after the other.
ROUND_ROBIN = 40


def key_of(text: str) -> Key:
    return Key("test", "events", text)


def body_of(key: int) -> bytes:
    return reading_value("shared", str(1 << key)) + b'\n{"bad": %d}' % key


def rows_of(found: Written) -> tuple[int, int]:
    """Rows in the log and in quarantine."""
    return found.outcome.successful_rows, found.outcome.quarantined_rows


async def insist(replica: KeyedWrites, key: str, body: bytes) -> Written:
    """Send it again until it is acknowledged, as a client whose answer is lost, or is 503."""
    while True:
        try:
            return await replica.write(key_of(key), BodyRows(body, Slices()))
        except (NotWritten, PartlyWritten, Busy):
            await asyncio.sleep(0.1)


@pytest.mark.timeout(150)
async def test_b14_a_body_is_in_the_log_once_over_replicas_and_restarts(own_kafka: Kafka) -> None:
    for topic in (READINGS, QUARANTINE, IMPORTS):
        own_kafka.create_topic(topic.name, 1, topic.configs)
    settings = ProducerSettings.load(
        {}, bootstrap_servers=own_kafka.bootstrap_servers, delivery_timeout_seconds=10.0
    )
    now = 1_700_000_000.0
    replicas = [KeyedWrites(settings, 1_000, clock=lambda: now) for _ in range(2)]
    for key in range(KEYS):
        first, second = replicas[key % 2], replicas[(key + 1) % 2]
        # At the same time, and then again: one of them writes, the others wait for it.
        both = await asyncio.gather(
            *(insist(each, f"key{key}", body_of(key)) for each in (first, second, first))
        )
        assert {rows_of(each) for each in both} == {(1, 1)}
        assert sum(each.is_new for each in both) <= 1
        assert len({each.import_id for each in both}) == 1
    large = b"\n".join(reading_value(f"device_{n}", str(n)) for n in range(MANY))
    both = await asyncio.gather(*(insist(each, "large", large) for each in replicas))
    assert {rows_of(each) for each in both} == {(MANY, 0)}

    # Behind a balancer that gives every other request to the other process nobody waits.
    await asyncio.gather(
        *(insist(replicas[n % 2], f"turn{n}", body_of(KEYS)) for n in range(2 * ROUND_ROBIN))
    )
    for replica in replicas:
        await replica.close(5)

    restarted = KeyedWrites(settings, 1_000, clock=lambda: now)
    for key in range(KEYS):
        written = await insist(restarted, f"key{key}", body_of(key))
        assert (rows_of(written), written.is_new) == ((1, 1), False)
    written = await insist(restarted, "large", large)
    assert (rows_of(written), written.is_new) == ((MANY, 0), False)
    values = [json.loads(record.value() or b"") for record in own_kafka.read(READINGS.name)]
    shared = [value["energy_consumed"] for value in values if value["device_id"] == "shared"]
    rest = [1 << KEYS] * 2 * ROUND_ROBIN
    assert sorted(shared) == [1 << key for key in range(KEYS)] + rest
    assert len(values) == KEYS + MANY + len(rest)
    bad = [json.loads(record.value() or b"") for record in own_kafka.read(QUARANTINE.name)]
    found = sorted(json.loads(each["__value"])["bad"] for each in bad)
    assert found == [*range(KEYS), *[KEYS] * len(rest)]

    now += KEPT_SECONDS
    # A new key: the old ones go before it.
    assert rows_of(await insist(restarted, "new", body_of(0))) == (1, 1)
    await restarted.close(5)
    log = KeyLog(settings)
    log.start()
    assert log.note(record_key(*key_of("new"))) is not None
    assert log.keys_of(b"")[1] == 1
    log.close()
