"""How long until totals are served again after a worker or an API process is gone.

`python -m tests.benchmarks.serve_again --devices 1000000 --rounds 3`
`python -m tests.benchmarks.serve_again --home DIR --parts lost`   keeps and reuses what it made
`python -m tests.benchmarks.serve_again --readings-each 20 --rate 50000`   a changelog that has
taken twenty records of each device, in small transactions: the worker keeps up with the rate.
With `--settle 900` Kafka has had time to compact it, which it may do after 5 to 10 minutes

A broker, one worker, one API, all on this machine. For a worker the clock begins with the signal
and ends with the first HTTP answer that counts a probe in every partition; the probes are
published after the kill, and the worker is started again at once. For the API it ends with the
first 200 that knows every device. At the end all totals are added up and compared.
"""

from __future__ import annotations

import argparse
import csv
import http.client
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from confluent_kafka import Producer

from api.auth.token_store import ensure_admin_token
from contract.device_totals import DEVICE_TOTALS
from contract.topics import READINGS
from kafka_io.cluster_changes import ClusterAdmin
from local_stack.broker.process import LocalBroker
from local_stack.ports import free_port
from operations.bootstrap import prepare
from operations.settings import TopicSettings
from producer.pacing import Pace
from tests.benchmarks import machine
from tests.benchmarks.dataset import value_of
from tests.benchmarks.figures import Figure
from tests.process_memory import memory_of, with_children

PIPE = "/v0/pipes/energy_consumption_by_device"
PROBE = "probe"
FIRST_SECONDS = 300
#: Readings between two looks at the clock.
AT_ONCE = 500
AGAIN_SECONDS = 120


class Bound(NamedTuple):
    """What a figure must stay below, and why just that."""

    what: str
    seconds: float
    why: str


BOUNDS = {
    "stopped": Bound(
        "worker SIGTERM, state kept",
        6,
        "it leaves its group and writes nothing twice: what is left is starting Python and Faust",
    ),
    "killed": Bound(
        "worker SIGKILL, state kept",
        14,
        "the group gives its partitions away when STREAM_APP_SESSION_TIMEOUT_SECONDS (6) has"
        " passed, then as above",
    ),
    "lost": Bound(
        "worker SIGKILL, directory lost",
        32,
        "as killed, and 20 s to rebuild the stores from the changelog; 60 s at the very most, an"
        " outage that people bear",
    ),
    "api": Bound(
        "API SIGKILL",
        5,
        "a load balancer's patience with one of several processes; the changelog is read whole",
    ),
}


def main() -> None:
    """Run and print."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--devices", type=int, default=1_000_000)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--parts", default=",".join(BOUNDS), help="of these, in any order")
    arguments.add_argument("--home", type=Path, help="kept; else a directory removed at the end")
    arguments.add_argument("--readings-each", type=int, default=3, help="of each device")
    arguments.add_argument("--rate", type=int, help="readings/s; else as fast as they are taken")
    arguments.add_argument("--settle", type=float, default=0, help="seconds of rest at first")
    options = arguments.parse_args()
    print(machine.as_text(machine.described()), flush=True)
    with ExitStack() as stack:
        home = options.home or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stand = stack.enter_context(standing(home, options))
        time.sleep(options.settle)
        failed = False
        for part in filter(None, options.parts.split(",")):
            bound = BOUNDS[part]
            samples = tuple(stand.measure(part) for _ in range(options.rounds))
            figure = Figure(bound.what, "s", samples)
            failed |= max(samples) > bound.seconds
            print(
                f"{figure.name}: {figure.median:.1f} s ({min(samples):.1f}-{max(samples):.1f},"
                f" {len(samples)} rounds), bound {bound.seconds:g} s: {bound.why}",
                flush=True,
            )
        print(stand.as_text())
        stand.compare()
        sys.exit(failed)


class Stand:
    """One worker and one API over a log of many devices."""

    def __init__(
        self, directory: Path, environ: Mapping[str, str], options: argparse.Namespace
    ) -> None:
        self._directory, self._environ = directory, environ
        self._devices, self._each, self._rate = (
            options.devices,
            options.readings_each,
            options.rate,
        )
        self._servers = environ["KAFKA_BOOTSTRAP_SERVERS"]
        self._partitions = int(environ["ENERGY_PARTITIONS"])
        self._port = int(environ["API_PORT"])
        self._token = ensure_admin_token(directory)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def begin(self) -> None:
        """Start both; publish everything if this is the first time, and wait until it is shown."""
        self._start("stream_app")
        self._start("api")
        if self._end_offsets() == [0] * self._partitions:
            began = time.monotonic()
            self._publish_all()
            print(f"published in {time.monotonic() - began:.0f} s", flush=True)
        began = time.monotonic()
        self._until_applied(self._end_offsets(), FIRST_SECONDS)
        print(f"{self._devices:,} devices are shown after {time.monotonic() - began:.0f} s more")

    def end(self) -> None:
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            process.wait(30)

    def measure(self, part: str) -> float:
        """Do it once; returns the seconds until totals are served again."""
        if part == "api":
            began = self._kill("api", signal.SIGKILL)
            self._start("api")
            self._until(self._knows_all, AGAIN_SECONDS)
            return time.perf_counter() - began
        began = self._kill("stream_app", signal.SIGTERM if part == "stopped" else signal.SIGKILL)
        if part == "lost":
            shutil.rmtree(self._directory / "worker-0")
        self._start("stream_app")
        self._until_applied(self._publish_probes(), AGAIN_SECONDS)
        return time.perf_counter() - began

    def as_text(self) -> str:
        """Say what the API has read, and what it takes."""
        changelog_topic = DEVICE_TOTALS.changelog(1).name
        settings = TopicSettings.load(self._environ)
        taken = sum(ClusterAdmin(settings).end_offsets(changelog_topic, self._partitions))
        data = self._directory / "broker" / "data"
        size = sum(each.stat().st_size for each in data.glob(f"{changelog_topic}-*/*.log"))
        memory = memory_of(*with_children(self._processes["api"].pid))
        return (
            f"the changelog has taken {taken:,} records and has {size / 1e6:,.0f} MB;"
            f" the API takes {memory / 1e6:,.0f} MB beside page cache"
        )

    def compare(self) -> None:
        """Add up all totals that are served. Raises: RuntimeError."""
        rows = csv.reader(io.StringIO(self._get(f"{PIPE}.csv")[1].decode()))
        total = sum(int(energy) for device, energy in rows if not device.startswith(PROBE))
        wanted = sum(range(self._devices)) * self._each
        if total != wanted:
            raise RuntimeError(f"the totals add up to {total}, published were {wanted}")
        print(f"all totals add up: {total:,}")

    def _start(self, module: str) -> None:
        with (self._directory / f"{module}.log").open("ab") as output:
            self._processes[module] = subprocess.Popen(
                [sys.executable, "-m", module], env=self._environ, stdout=output, stderr=output
            )

    def _kill(self, module: str, number: signal.Signals) -> float:
        began = time.perf_counter()
        self._processes[module].send_signal(number)
        self._processes[module].wait(15)
        return began

    def _get(self, path: str) -> tuple[int, bytes, http.client.HTTPMessage]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            connection.request("GET", path, headers={"Authorization": f"Bearer {self._token}"})
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.headers
        except (OSError, http.client.HTTPException):
            return 0, b"", http.client.HTTPMessage()
        finally:
            connection.close()

    def _applied(self) -> list[int] | None:
        status, _, headers = self._get(f"{PIPE}.json?limit=0")
        if status != 200:
            return None
        return [int(pair.partition(":")[2]) for pair in headers["X-Applied-Offsets"].split(",")]

    def _knows_all(self) -> bool:
        status, body, _ = self._get(f"{PIPE}.json?limit=1")
        return status == 200 and json.loads(body)["rows_before_limit_at_least"] >= self._devices

    def _until_applied(self, ends: list[int], seconds: float) -> None:
        def is_so() -> bool:
            applied = self._applied()
            return applied is not None and all(
                at >= end - 1 for at, end in zip(applied, ends, strict=True)
            )

        self._until(is_so, seconds)

    def _until(self, is_so: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not is_so():
            if time.monotonic() > deadline:
                raise RuntimeError(f"not served within {seconds:g} s")
            time.sleep(0.02)

    def _producer(self) -> Producer:
        return Producer(
            {
                "bootstrap.servers": self._servers,
                "enable.idempotence": True,
                "linger.ms": 5,
                "batch.size": 200_000,
                "partitioner": "murmur2_random",
                "queue.buffering.max.messages": 1_000_000,
            }
        )

    def _publish_all(self) -> None:
        """Publish as many readings of each device; device N sends N each time."""
        producer = self._producer()
        pace = Pace(self._rate, time.monotonic()) if self._rate else None
        for number in range(self._devices * self._each):
            device = number % self._devices
            value = value_of(number, f"device_{device}", device)
            while True:
                try:
                    producer.produce(READINGS.name, value, f"device_{device}")
                    break
                except BufferError:
                    producer.poll(0.05)
            if number % AT_ONCE == 0:
                producer.poll(0)
                if pace is not None:
                    pace.take(AT_ONCE)
                    time.sleep(pace.seconds_to_next(time.monotonic()))
        if producer.flush(FIRST_SECONDS):
            raise RuntimeError("the broker did not acknowledge all readings in time")

    def _publish_probes(self) -> list[int]:
        """Publish one reading to each partition; returns the ends that must be applied."""
        producer = self._producer()
        for partition in range(self._partitions):
            producer.produce(READINGS.name, value_of(0, f"{PROBE}-{partition}", 1), None, partition)
        if producer.flush(30):
            raise RuntimeError("the broker did not acknowledge the probes in time")
        return self._end_offsets()

    def _end_offsets(self) -> list[int]:
        return ClusterAdmin(TopicSettings.load(self._environ)).end_offsets(
            READINGS.name, self._partitions
        )


@contextmanager
def standing(home: Path, options: argparse.Namespace) -> Iterator[Stand]:
    """Start everything on a home, new or made by an earlier run."""
    home.mkdir(parents=True, exist_ok=True)
    with LocalBroker(home / "broker", port=0) as broker:
        environ = dict(os.environ) | {
            "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
            "ENERGY_HOME": str(home),
            "ENERGY_REPLICATION_FACTOR": "1",
            "ENERGY_PARTITIONS": "4",
            "API_PORT": str(free_port()),
        }
        settings = TopicSettings.load(environ)
        prepare(ClusterAdmin(settings), settings)
        stand = Stand(home, environ, options)
        try:
            stand.begin()
            yield stand
        finally:
            stand.end()


if __name__ == "__main__":
    main()
