"""How fast one worker catches up on a preloaded topic, with full validation and exact totals.

`python -m tests.benchmarks.catch_up --devices 1000 --devices 100000`

Starts its own broker, loads the topic once for each number of devices, then runs a fresh view
and a fresh worker for each round. The clock runs from the moment the worker has its partitions
and fetches, until a read_committed reader outside the worker has the last marker. Every round's
totals are compared with the oracle of the load.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.metadata
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec
import psutil

from contract.topics import READINGS, VIEWS, changelog
from deploy.births import ensure_first_view
from deploy.broker import LocalBroker
from deploy.settings import TopicSettings
from deploy.topics import create
from record_batches.reader import ChunkReader
from stream_app.cluster import Cluster
from tests.benchmarks.preload import Preloaded, preload

CHANGELOG = changelog(1).name
_MARKER = b"\x00applied"


def main() -> None:
    """Run and print."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--readings", type=int, default=3_000_000)
    arguments.add_argument("--devices", type=int, action="append")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--seed", type=int, default=7)
    options = arguments.parse_args()
    print_machine()
    for devices in options.devices or [1_000, 100_000]:
        with tempfile.TemporaryDirectory() as directory:
            measure(Path(directory), options.readings, devices, options.rounds, options.seed)


def print_machine() -> None:
    """Print what a figure depends on."""
    versions = " ".join(
        f"{name} {importlib.metadata.version(name)}"
        for name in ("faust-streaming", "aiokafka", "rocksdict", "msgspec")
    )
    print(
        f"machine: {os.cpu_count()} cores, {platform.machine()}, Python "
        f"{platform.python_version()}; {versions}"
    )


def measure(directory: Path, readings: int, devices: int, rounds: int, seed: int) -> None:
    """Load once, then catch up `rounds` times."""
    with LocalBroker(directory / "broker", port=0) as broker:
        environ = dict(os.environ) | {
            "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
            "ENERGY_HOME": str(directory),
            "ENERGY_REPLICATION_FACTOR": "1",
        }
        settings = TopicSettings.load(environ)
        create(Cluster(settings), settings)
        oracle = preload(broker.bootstrap_servers, READINGS.name, readings, devices, seed)
        rates = []
        for _ in range(rounds):
            reference = reference_rate()
            result = asyncio.run(catch_up(directory, environ, settings, oracle))
            rates.append(readings / result.seconds)
            print(
                f"  devices {devices}: {rates[-1]:,.0f} readings/s ({result.seconds:.2f} s, worker "
                f"CPU {result.cpu_seconds:.1f} s, RSS {result.rss_mb} MB, "
                f"{result.changelog_records:,} changelog records, "
                f"reference loop {reference:,.0f}/s)",
                flush=True,
            )
    print(
        f"catch-up {readings:,} readings, {devices:,} devices: median "
        f"{statistics.median(rates):,.0f}/s, min {min(rates):,.0f}, max {max(rates):,.0f}"
    )


class CatchUp(NamedTuple):
    """One round; seconds are wall time from the first fetch, CPU is of the whole worker."""

    seconds: float
    cpu_seconds: float
    rss_mb: int
    changelog_records: int


async def catch_up(
    directory: Path,
    environ: Mapping[str, str],
    settings: TopicSettings,
    oracle: Preloaded,
) -> CatchUp:
    """Run a fresh worker on a fresh view."""
    cluster = Cluster(settings)
    admin = cluster._admin
    for future in admin.delete_topics(
        [name for name in (CHANGELOG, VIEWS.name) if name in cluster.topic_names()]
    ).values():
        future.result()
    while cluster.topic_names() & {CHANGELOG, VIEWS.name}:
        await asyncio.sleep(0.1)
    create(cluster, settings)
    ensure_first_view(cluster, 1)
    ends = cluster.end_offsets(READINGS.name, settings.partitions)
    shutil.rmtree(directory / "worker-0", ignore_errors=True)
    log = directory / "worker.log"
    with log.open("w") as output:
        worker = subprocess.Popen(
            [sys.executable, "-m", "stream_app"], env=dict(environ), stderr=output
        )
    try:
        last: dict[tuple[int, bytes], bytes] = {}
        records = 0
        applied = dict.fromkeys(range(settings.partitions), -1)
        async with ChunkReader(settings.for_aiokafka(), CHANGELOG) as reader:
            reader.assign(dict.fromkeys(range(settings.partitions), 0))
            while "working on" not in log.read_text():
                if worker.poll() is not None:
                    raise RuntimeError(log.read_text())
                await asyncio.sleep(0.01)
            began = time.monotonic()
            while any(applied[p] < ends[p] - 1 for p in applied):
                if worker.poll() is not None:
                    raise RuntimeError(log.read_text())
                for chunk in await reader.chunks(1.0):
                    records += len(chunk.records)
                    for record in chunk.records:
                        if record.key == _MARKER:
                            marker = msgspec.json.decode(record.value or b"")
                            applied[chunk.partition] = marker["applied_offset"]
                        elif record.key and record.value:
                            last[chunk.partition, record.key] = record.value
            seconds = time.monotonic() - began
        process = psutil.Process(worker.pid)
        cpu = process.cpu_times()
        rss = int(Path(f"/proc/{worker.pid}/status").read_text().split("VmHWM:")[1].split()[0])
        compare(last, oracle)
    finally:
        worker.terminate()
        worker.wait(15)
    return CatchUp(seconds, cpu.user + cpu.system, rss // 1024, records)


def compare(last: Mapping[tuple[int, bytes], bytes], oracle: Preloaded) -> None:
    """Add the part-totals and hold them against the oracle. Raises: RuntimeError."""
    totals: dict[str, int] = {}
    counts: dict[str, int] = {}
    for (_, key), value in last.items():
        if key.startswith(b"\x00"):
            continue
        _, readings, total = value.split(b" ")
        device = key.decode()
        totals[device] = totals.get(device, 0) + int(total)
        counts[device] = counts.get(device, 0) + int(readings)
    if totals != oracle.totals or counts != oracle.readings:
        raise RuntimeError("the totals differ from the oracle: the figure means nothing")


def reference_rate() -> float:
    """Decode and fold in one plain Python loop: what this machine does right now, readings/s."""
    values = [
        b'{"timestamp": "2025-04-30 10:11:21", "device_id": "device_%d", '
        b'"energy_consumed": %d, "location": "Living Room"}' % (number % 1000, number)
        for number in range(200_000)
    ]
    decode = msgspec.json.decode
    reading = msgspec.defstruct(
        "Reading",
        [("timestamp", str), ("device_id", str), ("energy_consumed", int), ("location", str)],
        gc=False,
    )
    decode = msgspec.json.Decoder(reading).decode
    totals: dict[str, int] = {}
    began = time.perf_counter()
    for value in values:
        each = decode(value)
        totals[each.device_id] = totals.get(each.device_id, 0) + each.energy_consumed
    return len(values) / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
