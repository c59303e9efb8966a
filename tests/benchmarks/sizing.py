"""The figures of `energy sizing` against three installations that are really filled.

`python -m tests.benchmarks.sizing` fills each with readings in order of time, lets one worker and
one API catch up, has Kafka compact the changelogs, and compares what they take with what the
calculator says: within 30 %, else it ends with 1. `--keep` writes what was measured to the file
that the unit tests compare with.

A broker, one worker, one API, all in a directory that is removed at the end.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen
from typing import NamedTuple

from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from api.auth.token_store import ensure_admin_token
from contract.device_totals import DEVICE_TOTALS
from contract.energy_series import ENERGY_SERIES
from contract.topics import READINGS
from local_stack.ports import free_port
from operations.sizing.estimate import DAY_SECONDS, Workload, estimate
from tests.benchmarks import machine
from tests.benchmarks.dataset import Shape, last_device, value_in_order
from tests.benchmarks.running import _process
from tests.benchmarks.stand import Stand, standing
from tests.fault.early_compaction import LAG_MS
from tests.http_client import get
from tests.kafka import Kafka, wait_until
from tests.process_memory import highest_memory, with_children

MB = 1_000_000
#: What was measured last; tests/unit/operations/test_sizing.py holds the calculator against it.
MEASURED = Path(__file__).with_name("sizing_measured.json")
WITHIN = 0.3
AGAIN_SECONDS = 600
#: Nothing was compacted for so long: nothing will be.
QUIET_SECONDS = 20
#: A worker that lets its changelogs be compacted at once. An API that did would show nothing of a
#: commit that takes it longer to read.
EARLY = "tests.fault.early_compaction worker"
COMPACT_AT_ONCE = {
    "min.compaction.lag.ms": str(LAG_MS),
    "min.cleanable.dirty.ratio": "0.001",
    "segment.ms": "1000",
}
CHANGELOGS = {
    "totals_changelog": DEVICE_TOTALS.changelog(1).name,
    "series_changelog": ENERGY_SERIES.changelog(1).name,
}


class Size(NamedTuple):
    """One installation: each device a reading every so many seconds."""

    devices: int
    every: float
    readings: int

    @property
    def workload(self) -> Workload:
        rate = self.devices / self.every
        days = self.readings / rate / DAY_SECONDS
        return Workload(self.devices, rate, days, days)


SIZES = (
    Size(1_000, 60, 1_500_000),
    Size(20_000, 300, 1_500_000),
    Size(60_000, 300, 1_440_000),
)


def main() -> None:
    """Measure, compare, print."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--keep", action="store_true", help=f"write {MEASURED.name} anew")
    arguments.add_argument("--devices", type=int, help="only the size of so many")
    options = arguments.parse_args()
    print(machine.as_text(machine.described()), flush=True)
    failed = False
    for size in SIZES:
        if options.devices in (None, size.devices):
            found = measured(size)
            if options.keep:
                keep(size, found)
            failed |= compare(size, found)
    sys.exit(failed)


def kept() -> dict[int, dict[str, float]]:
    """Return what was measured last, by the number of devices."""
    found = json.loads(MEASURED.read_text(encoding="ascii"))
    return {int(devices): values for devices, values in found.items()}


def keep(size: Size, found: dict[str, float]) -> None:
    """Write down what was measured of one size; the others stay."""
    values = {**kept(), size.devices: found}
    MEASURED.write_text(json.dumps(values, indent=1) + "\n", encoding="ascii")


def off_by(size: Size, found: dict[str, float]) -> dict[str, float]:
    """Return by which share the calculator is above what was measured."""
    said = estimate(size.workload)
    return {name: getattr(said, name) / value - 1 for name, value in found.items()}


def compare(size: Size, found: dict[str, float]) -> bool:
    """Print a line for each figure; tell whether one is too far off."""
    said = estimate(size.workload)
    print(f"{size.devices:,} devices, {size.workload.rate:,.0f}/s, {size.readings:,} readings")
    off = off_by(size, found)
    for name, value in found.items():
        wanted = getattr(said, name)
        print(f"  {name}: {value / MB:,.1f} MB, calculated {wanted / MB:,.1f}, {off[name]:+.0%}")
    sys.stdout.flush()
    return any(abs(each) > WITHIN for each in off.values())


def measured(size: Size) -> dict[str, float]:
    """Fill one and return what it takes, by the names of the estimate."""
    with standing() as stand:
        stand.new_view("on")
        token = ensure_admin_token(stand.directory)
        stand.dataset(Shape(size.readings, size.devices, every=size.every))
        with roles(stand) as (worker, api, port):
            apis = wait_until(lambda: both_processes(api.pid), "the API's follower runs", 60)
            with highest_memory(worker.pid) as of_worker, highest_memory(*apis) as of_api:
                until_applied(stand, port, token)
            found: dict[str, float] = {
                "readings_log": log_bytes(stand, READINGS.name),
                "worker_memory": of_worker.bytes,
                "api_memory": of_api.bytes,
            }
        with _process(EARLY, stand.environ, stand.directory / "compacting.log"):
            compact(stand)
            found |= {name: log_bytes(stand, topic) for name, topic in CHANGELOGS.items()}
        found["worker_store"] = on_disk(stand.directory / "worker-0")
        found["reader_copy"] = on_disk(stand.directory / "view")
    return found


def both_processes(pid: int) -> list[int]:
    """Return the ids of an API that serves and of the one that follows; empty: not yet."""
    found = with_children(pid)
    return found if len(found) > 1 else []


@contextmanager
def roles(stand: Stand) -> Iterator[tuple[Popen[bytes], Popen[bytes], int]]:
    """Start a worker and an API; ends both."""
    # On a busy machine a large transaction takes longer than is good for an installation.
    environ = stand.environ | {
        "API_PORT": str(free_port()),
        "STREAM_APP_TRANSACTION_TIMEOUT_SECONDS": "120",
    }
    with (
        _process("stream_app", environ, stand.directory / "worker.log") as worker,
        _process("api", environ, stand.directory / "api.log") as api,
    ):
        yield worker, api, int(environ["API_PORT"])


def until_applied(stand: Stand, port: int, token: str) -> None:
    """Wait until totals and series show every reading."""
    path = "/v0/pipes/energy_consumption_over_time.json?interval=year"
    wanted = sum(stand.cluster.end_offsets(READINGS.name, stand.settings.partitions))

    def counted() -> bool:
        answer = get(port, path, token, seconds=30)
        rows = json.loads(answer.text)["data"] if answer.status == 200 else []
        return bool(sum(row["readings"] for row in rows) >= wanted)

    wait_until(counted, f"{wanted:,} readings are in the series", AGAIN_SECONDS)


def compact(stand: Stand) -> None:
    """Let Kafka compact the changelogs now, and wait until it has."""
    resources = [
        ConfigResource(
            ResourceType.TOPIC,
            topic,
            incremental_configs=[
                ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
                for name, value in COMPACT_AT_ONCE.items()
            ],
        )
        for topic in CHANGELOGS.values()
    ]
    for future in stand.admin.incremental_alter_configs(resources).values():
        future.result()
    kafka = Kafka(stand.servers)
    before, since = 0.0, time.monotonic()
    while time.monotonic() - since < QUIET_SECONDS:
        # A segment ends when something comes after its time.
        for partition in range(stand.settings.partitions):
            value = value_in_order(0, 0, last_device(partition), 1)
            kafka.write(READINGS.name, [value], partition=partition)
        time.sleep(2)
        now = sum(log_bytes(stand, topic) for topic in CHANGELOGS.values())
        if abs(now - before) > 0.02 * before:
            before, since = now, time.monotonic()


def log_bytes(stand: Stand, topic: str) -> float:
    data = stand.directory / "broker" / "data"
    return float(sum(file.stat().st_size for file in data.glob(f"{topic}-*/*.log")))


def on_disk(directory: Path) -> float:
    """What is really taken: files may have holes."""
    return float(sum(f.stat().st_blocks * 512 for f in directory.rglob("*") if f.is_file()))


if __name__ == "__main__":
    main()
