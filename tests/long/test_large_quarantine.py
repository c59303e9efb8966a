"""A quarantine of 100,000 readings, published again by a command that is killed on its way."""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter

import pytest

from contract.topics import READINGS
from tests.broker.own_cluster import SettingsFactory
from tests.broker.test_requeue import ALL, ENERGY, Setting, bad
from tests.kafka import Kafka, wait_until

MANY = 100_000
KILLS = 5
REQUEUE = ("requeue", "--set", "location=Attic", "--yes", "--json")
PUBLISHED_SECONDS = 120


@pytest.mark.timeout(600)
def test_a_hundred_thousand_are_published_once_however_often_it_is_killed(
    own_kafka: Kafka, settings_factory: SettingsFactory
) -> None:
    quarantine = Setting(own_kafka, settings_factory)
    for number in range(ALL, MANY):
        quarantine.add(bad(number), number, version=2)
        quarantine.producer.poll(0)
    assert quarantine.producer.flush(60) == 0
    environ = os.environ | {"KAFKA_BOOTSTRAP_SERVERS": own_kafka.bootstrap_servers}
    published = 0
    for kill in range(KILLS):
        wanted = MANY * (kill + 1) // (KILLS + 1)
        process = subprocess.Popen(
            [ENERGY, "quarantine", *REQUEUE], env=environ, stdout=subprocess.DEVNULL
        )
        try:
            wait_until(
                lambda wanted=wanted: sum(own_kafka.end_offsets(READINGS.name).values()) >= wanted,
                f"{wanted} are in the log",
                PUBLISHED_SECONDS,
            )
        finally:
            process.kill()
        assert process.wait() == -9, "it was on its way"
        published = sum(quarantine.counted().values())
        assert published < MANY
    code, output, errors = quarantine.command(*REQUEUE)
    assert code == 0, errors
    assert json.loads(output)["requeued"] == MANY - published
    assert quarantine.counted() == Counter(range(MANY))
