"""What a figure depends on: cores, versions, and what a plain loop does right now."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import time
from pathlib import Path
from typing import Any

import msgspec

from tests.benchmarks.builds import quix_version

OURS = ("faust-streaming", "aiokafka", "rocksdict", "msgspec", "confluent-kafka", "uvicorn")


def described() -> dict[str, Any]:
    """Name the machine and the versions of what was measured."""
    return {
        "cores": os.cpu_count(),
        "processor": processor(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "python": platform.python_version(),
        "versions": {
            **{name: importlib.metadata.version(name) for name in OURS},
            "quixstreams": quix_version(),
        },
    }


def as_text(machine: dict[str, Any]) -> str:
    """Write it in two lines."""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return (
        f"machine: {machine['cores']} cores ({machine['processor']}), {machine['memory_gib']} GiB, "
        f"Python {machine['python']}; broker, program and observer share the cores\n{versions}"
    )


def processor() -> str:
    """Name the processor as the system does."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


class _Reading(msgspec.Struct, gc=False):
    timestamp: str
    device_id: str
    energy_consumed: int
    location: str


def reference_rate(readings: int = 300_000) -> float:
    """Decode and fold in one plain Python loop, no checks: readings/s on one core right now."""
    values = [
        b'{"timestamp": "2025-04-30 10:11:21", "device_id": "device_%d", '
        b'"energy_consumed": %d, "location": "Living Room"}' % (number % 1000, number)
        for number in range(readings)
    ]
    decode = msgspec.json.Decoder(_Reading).decode
    totals: dict[str, int] = {}
    known = totals.get
    began = time.perf_counter()
    for value in values:
        reading = decode(value)
        device = reading.device_id
        totals[device] = known(device, 0) + reading.energy_consumed
    return readings / (time.perf_counter() - began)
