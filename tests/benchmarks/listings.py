"""Reads of a view with a million devices: the first by total, pages, and whole listings.

`python -m tests.benchmarks.listings --devices 1000000`

Everything is real: a broker, a worker, an API process, one reading of each device. Latencies
are open loop over one connection: requests have a schedule, and a request's clock starts at its
scheduled time. Meanwhile a simulated fleet sends to all devices; its first 20 s, in which Java
compiles and the worker's store settles after the million, are a line of their own. Whole
listings are read in all six formats alone, beside six readers who take 10 kB/s, one in each
format, and beside the fleet; the growth of the API's memory, without page cache, is the highest
while it answers less what it had before the first of that format. Ends with 1 where a listing
missed its bounds without the fleet.
"""

from __future__ import annotations

import argparse
import http.client
import os
import platform
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from api.auth.token_store import TokenStore
from api.query.formats.catalogue import FORMATS
from contract.settings import TOKENS_NAME
from contract.topics import READINGS
from tests.benchmarks.dataset import send_all
from tests.benchmarks.running import Pipeline, running_pipeline
from tests.process_memory import highest_memory, memory_of, with_children

PIPE = "/v0/pipes/energy_consumption_by_device"
PAGES = {
    "top 10 by total": ".json?order_by=-total_energy_consumed&limit=10",
    "first page of 100 by device_id": ".json?limit=100",
    "page of 100 in the middle": ".json?limit=100&offset=500000",
}
#: What a listing may take, and by how much the API may grow meanwhile.
LISTING_SECONDS, GROWTH_MB = 4.0, 50.0
SLOW_BYTES, SLOW_SECONDS = 1_000, 0.1
MB = 1e6
APPLIED_SECONDS = 300
WARM_UP_SECONDS = 20


class Figure(NamedTuple):
    """What was measured: one sample for each request, or for each listing."""

    name: str
    unit: str
    samples: list[float]
    most: float | None = None
    """No sample may be above it."""

    @property
    def is_missed(self) -> bool:
        return self.most is not None and max(self.samples) > self.most

    def percentile(self, share: float) -> float:
        ordered = sorted(self.samples)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def main() -> None:
    """Run and print."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--devices", type=int, default=1_000_000)
    arguments.add_argument("--rate", type=int, default=10_000, help="readings/s meanwhile")
    arguments.add_argument("--requests", type=int, default=600)
    arguments.add_argument("--requests-per-second", type=int, default=40)
    arguments.add_argument("--rounds", type=int, default=3, help="of each whole listing")
    options = arguments.parse_args()
    print(f"{os.cpu_count()} cores shared by all, Python {platform.python_version()}", flush=True)
    missed = False
    with tempfile.TemporaryDirectory() as directory, running_pipeline(Path(directory)) as pipeline:
        other_token = TokenStore(Path(directory) / TOKENS_NAME).create("slow", ["ADMIN"])
        for figure in measure(pipeline, options, other_token):
            missed |= figure.is_missed
            print(
                f"{figure.name}: p50 {figure.percentile(0.5):.3g} {figure.unit}, "
                f"p99 {figure.percentile(0.99):.3g}, max {max(figure.samples):.3g} "
                f"({len(figure.samples)} samples){', MISSED' if figure.is_missed else ''}",
                flush=True,
            )
    sys.exit(missed)


def measure(pipeline: Pipeline, options: argparse.Namespace, other_token: str) -> Iterator[Figure]:
    """Fill the view, then yield one figure after the other."""
    preload(pipeline.bootstrap_servers, options.devices)
    client = Client(pipeline)
    client.wait_until_applied(options.devices)
    api = with_children(pipeline.api.pid)
    yield Figure("API memory with all devices", "MB", [memory_of(*api) / MB])
    yield from whole_listings(client, api, options.rounds, "nothing else going on")
    with slow_readers(pipeline.port, other_token):
        what = f"{len(FORMATS)} slow readers meanwhile"
        yield from whole_listings(client, api, options.rounds, what)
    if not options.rate:
        return
    first = f"{PIPE}{PAGES['top 10 by total']}"
    yield Figure("top 10 by total, the first time", "ms", [1000 * client.get(first)[0]])
    with fleet(pipeline.bootstrap_servers, options):
        per_second = options.requests_per_second
        delays = client.paced(first, WARM_UP_SECONDS * per_second, per_second)
        yield Figure(f"top 10 by total, the flow's first {WARM_UP_SECONDS} s", "ms", delays)
        for name, target in PAGES.items():
            before, began = client.applied(), time.perf_counter()
            delays = client.paced(f"{PIPE}{target}", options.requests, per_second)
            flow = (client.applied() - before) / (time.perf_counter() - began)
            yield Figure(f"{name}, {flow:,.0f} readings/s meanwhile", "ms", delays)
        meanwhile = f"{options.rate:,} readings/s meanwhile"
        for figure in whole_listings(client, api, 1, meanwhile):
            yield figure._replace(most=None)


def whole_listings(client: Client, api: list[int], rounds: int, meanwhile: str) -> Iterator[Figure]:
    """Read all devices in each format: seconds, and growth of the API's memory."""
    for form in FORMATS:
        seconds, size = [], 0
        with highest_memory(*api) as memory:
            for _ in range(rounds):
                took, body_bytes = client.get(f"{PIPE}.{form}")
                seconds.append(took)
                size = max(size, body_bytes)
        what = f"all as {form}, {size / MB:.1f} MB, {meanwhile}"
        yield Figure(what, "s", seconds, LISTING_SECONDS)
        yield Figure(f"  API growth, {form}", "MB", [memory.growth / MB], GROWTH_MB)


@contextmanager
def slow_readers(port: int, token: str) -> Iterator[None]:
    """Have a reader of all devices in each format, who takes 10 kB/s."""
    is_over, readers = threading.Event(), []
    for form in FORMATS:
        reader = socket.socket()
        # What the kernel holds for a reader would else be a good part of the answer.
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
        reader.connect(("127.0.0.1", port))
        target = f"GET {PIPE}.{form} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
        reader.sendall(target.encode())
        readers.append(reader)
    for reader in readers:
        if not reader.recv(SLOW_BYTES).startswith(b"HTTP/1.1 200 "):
            raise RuntimeError("a slow reader is not served")

    def read() -> None:
        while not is_over.wait(SLOW_SECONDS):
            for reader in readers:
                if not reader.recv(SLOW_BYTES):
                    raise RuntimeError("a slow reader was cut off")

    with ThreadPoolExecutor(1) as thread:
        reading = thread.submit(read)
        try:
            yield
        finally:
            is_over.set()
    reading.result()
    for reader in readers:
        reader.close()


class Client:
    """One connection to the API."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", pipeline.port)
        self._headers = {"Authorization": f"Bearer {pipeline.token}"}
        self._offsets = ""

    def get(self, target: str) -> tuple[float, int]:
        """Return the seconds until the last byte, and how many bytes there were."""
        began = time.perf_counter()
        self._connection.request("GET", target, headers=self._headers)
        answer = self._connection.getresponse()
        size = 0
        while piece := answer.read(1 << 18):
            size += len(piece)
        if answer.status != 200:
            raise RuntimeError(f"{target}: the API answers {answer.status}")
        self._offsets = answer.headers["X-Applied-Offsets"]
        return time.perf_counter() - began, size

    def paced(self, target: str, requests: int, per_second: int) -> list[float]:
        """Ask on schedule; returns milliseconds since each request's scheduled time."""
        delays = []
        began = time.perf_counter()
        for number in range(requests):
            scheduled = began + number / per_second
            if (wait := scheduled - time.perf_counter()) > 0:
                time.sleep(wait)
            self.get(target)
            delays.append(1000 * (time.perf_counter() - scheduled))
        return delays

    def applied(self) -> int:
        """Return the readings applied, over all partitions."""
        self.get(f"{PIPE}.json?limit=0")
        return sum(int(pair.partition(":")[2]) + 1 for pair in self._offsets.split(","))

    def applied_to_series(self) -> int:
        """Return the readings applied to the series; as many as one likes where there is none."""
        self._connection.request("GET", "/metrics", headers=self._headers)
        lines = self._connection.getresponse().read().decode().splitlines()
        offsets = [line for line in lines if line.startswith("api_series_applied_offset{")]
        return sum(int(float(line.split()[-1])) + 1 for line in offsets) if offsets else sys.maxsize

    def wait_until_applied(self, readings: int) -> None:
        """Wait for both views: one that is being loaded takes a core from all that is measured."""
        deadline = time.monotonic() + APPLIED_SECONDS
        while min(self.applied(), self.applied_to_series()) < readings:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{readings} readings are not applied in {APPLIED_SECONDS} s")
            time.sleep(0.2)


def preload(bootstrap_servers: str, devices: int) -> None:
    """Publish one reading of each device, and wait for every acknowledgement."""

    def readings() -> Iterator[tuple[str, bytes, int]]:
        for number in range(devices):
            device = f"device_{number}"
            value = (
                f'{{"timestamp": "2025-04-30 10:11:21", "device_id": "{device}", '
                f'"energy_consumed": {number * 7_919 % 4_294_967_291}, "location": "Kitchen"}}'
            )
            yield device, value.encode(), -1

    send_all(bootstrap_servers, READINGS.name, readings())


@contextmanager
def fleet(bootstrap_servers: str, options: argparse.Namespace) -> Iterator[None]:
    """Let `energy simulate` send readings of now to all devices meanwhile."""
    energy = Path(sys.executable).with_name("energy")
    command = [str(energy), "simulate", "--rate", str(options.rate)]
    command += ["--devices", str(options.devices)]
    environ = os.environ | {"KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers}
    simulate = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL)
    try:
        time.sleep(5)
        if simulate.poll() is not None:
            raise RuntimeError("energy simulate has ended")
        yield
    finally:
        simulate.terminate()
        simulate.wait(30)


if __name__ == "__main__":
    main()
