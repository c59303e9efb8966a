"""Puts seeded readings on a topic as fast as a client can; keeps an oracle."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from tests.benchmarks.dataset import Shape, records, send_all


class Preloaded(NamedTuple):
    """What is on the topic: exact total and number of readings by device."""

    totals: dict[str, int]
    readings: dict[str, int]


def preload(
    bootstrap_servers: str, topic: str, readings: int, devices: int, seed: int
) -> Preloaded:
    """Publish `readings` of `devices`, keyed by device_id, and wait for every acknowledgement."""
    totals: dict[str, int] = {}
    made = list(records(Shape(readings, devices, seed), totals))
    send_all(bootstrap_servers, topic, ((device, value, -1) for device, value in made))
    return Preloaded(totals, Counter(device for device, _ in made))
