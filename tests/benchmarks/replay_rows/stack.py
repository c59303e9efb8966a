"""`energy up` with a preloaded log, commands beside it, and what a row reports."""

from __future__ import annotations

import json
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

from tests.benchmarks.preload import preload
from tests.benchmarks.running import Pipeline
from tests.e2e.poller import Poller
from tests.e2e.running_up import ENERGY, RunningUp
from tests.fault.fleet import READINGS, Fleet
from tests.kafka import Kafka, wait_until

DEVICES = 1_000
LONG_SECONDS = 180


class Stack:
    """`energy up` with a preloaded log, and commands beside it."""

    def __init__(self, directory: Path, readings: int, **environ: str) -> None:
        self.directory = directory
        self.up = RunningUp(directory / "home", **environ)
        self.up.wait_ready()
        self.kafka = Kafka(f"127.0.0.1:{self.up.broker_port}")
        self.environ = self.up.environ | {"KAFKA_BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers}
        self.token = (self.up.home / "admin_token").read_text().strip()
        self.loaded = preload(self.kafka.bootstrap_servers, READINGS, readings, DEVICES, 7)
        self._logs = 0
        self.wait_caught_up()

    def poller(self) -> Poller:
        devices = [f"device_{number}" for number in range(20)]
        return Poller(self.up.api_port, self.token, devices).start()

    def run(self, *arguments: str, code: int | None = 0) -> str:
        done = subprocess.run(
            [*ENERGY, *arguments], env=self.environ, capture_output=True, text=True, check=False
        )
        if code is not None and done.returncode != code:
            raise RuntimeError(f"{arguments}: {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def start(self, *arguments: str, **environ: str) -> tuple[subprocess.Popen[bytes], Path]:
        self._logs += 1
        log = self.directory / f"command-{self._logs}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*ENERGY, *arguments],
                env=self.environ | environ,
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        return process, log

    def status(self) -> dict[str, Any]:
        return cast(dict[str, Any], json.loads(self.run("status", "--json")))

    def share(self) -> float:
        """How much of the next version is built."""
        replay = self.status()["replay"]
        if replay is None:
            return 0.0
        done = sum(p["at"] - p["from"] for p in replay["partitions"])
        return float(done / max(1, sum(p["target"] - p["from"] for p in replay["partitions"])))

    def live_version(self) -> int:
        return int(self.status()["view_version"])

    def is_gate_open(self) -> bool:
        return self.share() > 0.999

    def wait_caught_up(self) -> None:
        wait_until(
            lambda: (ready := self.up.get("/ready")) is not None and ready["lag_records"] == 0,
            "the API shows all there is",
            LONG_SECONDS,
        )

    def wrong_devices(self, fleet: Fleet | None) -> int:
        """How many devices are not what was acknowledged."""
        totals = {device: Fraction(total) for device, total in self.loaded.totals.items()}
        counts = dict(self.loaded.readings)
        if fleet is not None:
            for device, total in fleet.oracle.totals.items():
                totals[device] = totals.get(device, Fraction()) + total
                counts[device] = counts.get(device, 0) + fleet.oracle.counts[device]
        wrong = 0
        for device, expected in totals.items():
            found = self.up.get(f"/v0/devices/{quote(device, safe='')}")
            wrong += (
                found is None
                or Fraction(found["total_energy_consumed_exact"]) != expected
                or found["readings"] != counts[device]
            )
        return wrong


@contextmanager
def stack_of(readings: int, **environ: str) -> Iterator[Stack]:
    with tempfile.TemporaryDirectory(prefix="replay-rows-") as directory:
        stack = None
        try:
            stack = Stack(Path(directory), readings, **environ)
            yield stack
        finally:
            if stack is not None:
                stack.up.end(signal.SIGTERM)
                stack.up.kill()


def report(row: str, **facts: Any) -> None:
    print(json.dumps({"row": row, **facts}), flush=True)


def pipeline_of(stack: Stack) -> Pipeline:
    worker = _Process(stack.up.part("stream_app", "worker-0").pid)
    api = _Process(stack.up.part("local_stack.die_with_parent", " api").pid)
    broker = stack.up.part("kafka.Kafka")
    return Pipeline(
        stack.kafka.bootstrap_servers,
        stack.up.api_port,
        stack.token,
        broker.pid,
        cast(Any, worker),
        cast(Any, api),
    )


class _Process:
    def __init__(self, pid: int) -> None:
        self.pid = pid
