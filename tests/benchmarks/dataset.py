"""Seeded readings in the seed's form on a topic, as fast as a client can put them; an oracle.

The oracle is plain integers and imports nothing of ours. The last reading of each partition is
of a device of its own, `last-P`: whoever sees its total has seen the whole partition.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from confluent_kafka import Producer

ROOMS = (b"Living Room", b"Kitchen", b"Bedroom", b"Bathroom", b"Garage")
FLUSH_SECONDS = 300


class Shape(NamedTuple):
    """What a dataset is made of; `bad` is the share of records that are no readings."""

    readings: int
    devices: int
    seed: int = 7
    bad: float = 0.0
    codec: str = "none"
    keyed: bool = True


class Dataset(NamedTuple):
    """What is on the topic: exact total of each device, and how many records there are."""

    topic: str
    shape: Shape
    totals: dict[str, int]
    partitions: int

    def last_devices(self) -> list[str]:
        return [last_device(partition) for partition in range(self.partitions)]


def last_device(partition: int) -> str:
    """Name the device of a partition's last reading."""
    return f"last-{partition}"


def value_of(number: int, device: str, energy: int) -> bytes:
    """Write one reading."""
    return (
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


def records(shape: Shape, totals: dict[str, int]) -> Iterator[tuple[str, bytes]]:
    """Yield (device, value) of each record; adds the readings to `totals`."""
    chance = random.Random(shape.seed)
    for number in range(shape.readings):
        device = f"device_{chance.randrange(shape.devices)}"
        energy = chance.randrange(1 << 32)
        value = value_of(number, device, energy)
        if int((number + 1) * shape.bad) > int(number * shape.bad):
            yield device, value.replace(b'"energy_consumed": ', b'"energy_consumed": "x')
            continue
        totals[device] = totals.get(device, 0) + energy
        yield device, value


def publish(
    bootstrap_servers: str,
    topic: str,
    partitions: int,
    shape: Shape,
    on_progress: Callable[[int, int | None], None] = lambda _done, _total: None,
    config: Mapping[str, Any] = MappingProxyType({}),
) -> Dataset:
    """Publish a dataset and wait for every acknowledgement. Raises: RuntimeError."""
    producer = Producer(
        {
            "bootstrap.servers": bootstrap_servers,
            "enable.idempotence": True,
            "linger.ms": 20,
            "batch.size": 200_000,
            "compression.type": shape.codec,
            "partitioner": "murmur2_random",
            "queue.buffering.max.messages": 1_000_000,
            "queue.buffering.max.kbytes": 500_000,
            **config,
        }
    )

    def put(value: bytes, key: str | None, partition: int = -1) -> None:
        while True:
            try:
                producer.produce(topic, value, key, partition)
                return
            except BufferError:
                producer.poll(0.05)

    totals: dict[str, int] = {}
    for number, (device, value) in enumerate(records(shape, totals)):
        put(value, device if shape.keyed else None)
        if number % 2_000 == 0:
            producer.poll(0)
            on_progress(number, shape.readings)
    if producer.flush(FLUSH_SECONDS):
        raise RuntimeError("the broker did not acknowledge all readings in time")
    for partition in range(partitions):
        device = last_device(partition)
        totals[device] = 1
        put(value_of(0, device, 1), device, partition)
    if producer.flush(FLUSH_SECONDS):
        raise RuntimeError("the broker did not acknowledge all readings in time")
    return Dataset(topic, shape, totals, partitions)
