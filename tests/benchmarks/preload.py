"""Puts seeded readings in the seed's form on a topic as fast as a client can; keeps an oracle.

The oracle is plain integers and imports nothing of ours.
"""

from __future__ import annotations

import random
from typing import NamedTuple

from confluent_kafka import Producer

ROOMS = (b"Living Room", b"Kitchen", b"Bedroom", b"Bathroom", b"Garage")


class Preloaded(NamedTuple):
    """What is on the topic: exact total and number of readings by device."""

    totals: dict[str, int]
    readings: dict[str, int]


def preload(
    bootstrap_servers: str, topic: str, readings: int, devices: int, seed: int
) -> Preloaded:
    """Publish `readings` of `devices`, keyed by device_id, and wait for every acknowledgement."""
    producer = Producer(
        {
            "bootstrap.servers": bootstrap_servers,
            "enable.idempotence": True,
            "linger.ms": 20,
            "partitioner": "murmur2_random",
            "queue.buffering.max.messages": 1_000_000,
            "queue.buffering.max.kbytes": 500_000,
        }
    )
    chance = random.Random(seed)
    totals: dict[str, int] = {}
    counts: dict[str, int] = {}
    for number in range(readings):
        device = f"device_{chance.randrange(devices)}"
        energy = chance.randrange(1 << 32)
        totals[device] = totals.get(device, 0) + energy
        counts[device] = counts.get(device, 0) + 1
        value = (
            b'{"timestamp": "2025-%02d-%02d %02d:%02d:%02d", "device_id": "%s", '
            b'"energy_consumed": %d, "location": "%s"}'
        ) % (
            number % 12 + 1,
            number % 28 + 1,
            number % 24,
            number % 60,
            number // 7 % 60,
            device.encode(),
            energy,
            ROOMS[number % len(ROOMS)],
        )
        while True:
            try:
                producer.produce(topic, value, device)
                break
            except BufferError:
                producer.poll(0.05)
        if number % 2_000 == 0:
            producer.poll(0)
    if producer.flush(120):
        raise RuntimeError("the broker did not acknowledge all readings in time")
    return Preloaded(totals, counts)
