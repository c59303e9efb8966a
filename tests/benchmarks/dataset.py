"""Seeded readings in the seed's form on a topic, as fast as a client can put them; an oracle.

The oracle is plain integers and imports nothing of ours. The last reading of each partition is
of a device of its own, `last-P`: whoever sees its total has seen the whole partition.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

from confluent_kafka import Producer

ROOMS = (b"Living Room", b"Kitchen", b"Bedroom", b"Bathroom", b"Garage")
FLUSH_SECONDS = 300
_BEGIN = datetime(2025, 4, 30, tzinfo=UTC)


class Shape(NamedTuple):
    """What a dataset is made of; `bad` is the share of records that are no readings.

    `every`: in order of time, each device a reading each so many seconds, always at its place; 0:
    scattered over a year and over all places.
    """

    readings: int
    devices: int
    seed: int = 7
    bad: float = 0.0
    codec: str = "none"
    keyed: bool = True
    every: float = 0.0


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


def value_in_order(second: float, device: int, name: str, energy: int) -> bytes:
    """Write the reading of a device at a second of the data."""
    at = _BEGIN + timedelta(seconds=int(second))
    return (b'{"timestamp": "%s", "device_id": "%s", "energy_consumed": %d, "location": "%s"}') % (
        _stamp(at),
        name.encode(),
        energy,
        ROOMS[device % len(ROOMS)],
    )


@lru_cache(maxsize=16)
def _stamp(at: datetime) -> bytes:
    return f"{at:%Y-%m-%d %H:%M:%S}".encode()


def records(shape: Shape, totals: dict[str, int]) -> Iterator[tuple[str, bytes]]:
    """Yield (device, value) of each record; adds the readings to `totals`."""
    chance = random.Random(shape.seed)
    for number in range(shape.readings):
        place = chance.randrange(shape.devices)
        device = f"device_{place}"
        energy = chance.randrange(1 << 32)
        if shape.every:
            second = number * shape.every / shape.devices
            value = value_in_order(second, place, device, energy)
        else:
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
    config: Mapping[str, Any] = MappingProxyType({}),
) -> Dataset:
    """Publish a dataset and wait for every acknowledgement. Raises: RuntimeError."""
    totals: dict[str, int] = {}
    readings = (
        (device if shape.keyed else None, value, -1) for device, value in records(shape, totals)
    )
    codec = {"compression.type": shape.codec, **config}
    send_all(bootstrap_servers, topic, readings, codec)
    last = [last_device(partition) for partition in range(partitions)]
    totals.update(dict.fromkeys(last, 1))
    behind = ((device, value_of(0, device, 1), place) for place, device in enumerate(last))
    send_all(bootstrap_servers, topic, behind, codec)
    return Dataset(topic, shape, totals, partitions)


def send_all(
    bootstrap_servers: str,
    topic: str,
    sent: Iterable[tuple[str | None, bytes, int]],
    config: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Send (key, value, partition or -1) as fast as a client can; wait for each answer.

    Raises: RuntimeError.
    """
    producer = Producer(
        {
            "bootstrap.servers": bootstrap_servers,
            "enable.idempotence": True,
            "linger.ms": 20,
            "batch.size": 200_000,
            "partitioner": "murmur2_random",
            "queue.buffering.max.messages": 1_000_000,
            "queue.buffering.max.kbytes": 500_000,
            **config,
        }
    )
    for number, (key, value, partition) in enumerate(sent):
        while True:
            try:
                producer.produce(topic, value, key, partition)
                break
            except BufferError:
                producer.poll(0.05)
        if number % 2_000 == 0:
            producer.poll(0)
    if producer.flush(FLUSH_SECONDS):
        raise RuntimeError("the broker did not acknowledge all readings in time")
