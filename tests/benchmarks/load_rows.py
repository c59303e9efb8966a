"""`energy load` of large files, killed in the middle and resumed, held against an oracle.

`python -m tests.benchmarks.load_rows --megabytes 2000` makes so much NDJSON (as .gz) and as much
CSV, seeded and streamed, loads each into a stack of its own, kills the load with SIGKILL half
way, resumes it, and compares every device's exact total and number of readings over HTTP. The
oracle adds plain integers while the files are written. Prints rows/s of the resumed half (whole
seconds of a process, its start included) and the most memory either process had.
"""

from __future__ import annotations

import argparse
import gzip
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tests.e2e.running_up import ENERGY, RunningUp
from tests.kafka import Kafka, wait_until

READINGS = "energy_consumption"
DEVICES = 1_000
ROWS_AT_ONCE = 10_000
RSS_MB = 200
APPLIED_SECONDS = 600
_LOOK_SECONDS = 0.1


class Oracle:
    """Hundredths of energy, and readings, by device."""

    def __init__(self) -> None:
        self.hundredths: Counter[str] = Counter()
        self.readings: Counter[str] = Counter()

    def exact(self, device: str) -> str:
        """The canonical decimal of a total that is not negative."""
        whole, rest = divmod(self.hundredths[device], 100)
        return f"{whole}.{rest:02}".rstrip("0").rstrip(".")


def rows(seed: int, oracle: Oracle, form: str, size: int) -> Iterator[bytes]:
    """Yield some thousand rows at a time until they are so many bytes."""
    chance, made, number = random.Random(seed), 0, 0
    while made < size:
        lines = []
        for _ in range(ROWS_AT_ONCE):
            device, hundredths = f"device_{number % DEVICES}", chance.getrandbits(40)
            number += 1
            oracle.hundredths[device] += hundredths
            oracle.readings[device] += 1
            energy = f"{hundredths // 100}.{hundredths % 100:02}"
            if form == "csv":
                lines.append(f"2025-04-30 10:11:21,{device},{energy},Living Room\n")
            else:
                lines.append(
                    f'{{"timestamp":"2025-04-30 10:11:21","device_id":"{device}",'
                    f'"energy_consumed":{energy},"location":"Living Room"}}\n'
                )
        piece = "".join(lines).encode()
        made += len(piece)
        yield piece


def write(path: Path, seed: int, oracle: Oracle, size: int) -> None:
    form = "csv" if path.suffix == ".csv" else "ndjson"
    with gzip.open(path, "wb", 1) if path.suffix == ".gz" else path.open("wb") as file:
        if form == "csv":
            file.write(b"timestamp,device_id,energy_consumed,location\n")
        for piece in rows(seed, oracle, form, size):
            file.write(piece)


class Ended(NamedTuple):
    """How a load went."""

    code: int
    seconds: float
    peak_mb: int


def load(up: RunningUp, path: Path, *options: str, kill_at: int | None = None) -> Ended:
    """Load a file, or kill the load once the log has so many records."""
    environ = {**os.environ, "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{up.broker_port}"}
    kafka = Kafka(f"127.0.0.1:{up.broker_port}")
    began, peak = time.monotonic(), 0
    process = subprocess.Popen([*ENERGY, "load", str(path), *options], env=environ)
    while process.poll() is None:
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        peak = max([peak, *(int(line.split()[1]) // 1024 for line in lines if "VmHWM" in line)])
        if kill_at is not None and sum(kafka.end_offsets(READINGS).values()) >= kill_at:
            process.send_signal(signal.SIGKILL)
        time.sleep(_LOOK_SECONDS)
    return Ended(process.wait(), time.monotonic() - began, peak)


def is_equal(up: RunningUp, oracle: Oracle) -> bool:
    """Compare all devices; waits until what is loaded is counted."""

    def counted(device: str) -> bool:
        found = up.get(f"/v0/devices/{device}")
        if not found or found["readings"] < oracle.readings[device]:
            return False
        assert found["readings"] == oracle.readings[device], (device, found)
        assert found["total_energy_consumed_exact"] == oracle.exact(device), (device, found)
        return True

    for device in oracle.readings:
        wait_until(partial(counted, device), f"{device} is counted", APPLIED_SECONDS)
    return True


def main() -> int:
    """Load both files; returns 0 if every total is right and the memory within its bound."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    size, oracle, worst = arguments.megabytes * 1_000_000, Oracle(), 0
    with tempfile.TemporaryDirectory() as directory:
        up = RunningUp(Path(directory) / "home")
        try:
            up.wait_ready()
            for name in ("rows.ndjson.gz", "rows.csv"):
                before = oracle.readings.total()
                path = Path(directory) / name
                write(path, arguments.seed, oracle, size)
                count = oracle.readings.total() - before
                killed = load(up, path, kill_at=before + count // 2)
                assert killed.code == -signal.SIGKILL, killed
                there = sum(Kafka(f"127.0.0.1:{up.broker_port}").end_offsets(READINGS).values())
                resumed = load(up, path, "--resume")
                assert resumed.code == 0, resumed
                rate = (before + count - there) / resumed.seconds
                worst = max(worst, killed.peak_mb, resumed.peak_mb)
                print(f"{name}: {count:,} rows, resumed at {rate:,.0f} rows/s", flush=True)
                path.unlink()
                assert is_equal(up, oracle)
        finally:
            up.end(signal.SIGTERM)
    print(f"{DEVICES:,} totals equal the oracle; peak {worst} MB of {RSS_MB}")
    return 0 if worst <= RSS_MB else 1


if __name__ == "__main__":
    sys.exit(main())
