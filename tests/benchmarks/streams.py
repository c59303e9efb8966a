"""What live streams cost: from publish to event, memory, others' reads, slow readers, a storm.

`python -m tests.benchmarks.streams --streams 1000 --rate 1000 --seconds 20`

Everything is real: a broker, a worker, an API process with 100,000 devices. Each stream watches
ten devices of its own, which get all readings. A reading's clock starts at its scheduled send and
ends with the first event whose row counts it, so a change that a newer one took the place of
counts as late as that. Exits 1 where a bound is missed or a row is not the newest at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import socket
import sys
import tempfile
import threading
import time
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import psutil
from confluent_kafka import Producer

from api.auth.token_store import TokenStore
from contract.settings import TOKENS_NAME
from contract.topics import READINGS
from tests.benchmarks import machine
from tests.benchmarks.figures import percentile
from tests.benchmarks.listings import Client, preload
from tests.benchmarks.running import Pipeline, running_pipeline
from tests.process_memory import memory_of

DEVICES = 100_000
#: Watched by each stream.
EACH = 10
#: Consecutive readings are of different streams.
STRIDE = 7_919
SLOW, SLOW_BYTES, SLOW_SECONDS = 100, 1_000, 0.1
STORM_SECONDS = 10.0
WARM_UP_SECONDS = 15.0
READS_PER_SECOND = 50
STREAM = "/v0/pipes/energy_consumption_by_device/stream"


class Readings:
    """What was sent of each device, and when; and who has seen it."""

    def __init__(self) -> None:
        self.sent_at: dict[str, list[float]] = defaultdict(list)
        self.delays: list[float] = []

    def seen(self, device: str, before: int, now: int, at: float) -> None:
        """A row went from `before` to `now` readings, of which one was there before all this."""
        for place in range(before - 1, now - 1):
            self.delays.append(at - self.sent_at[device][place])


class Stream(asyncio.Protocol):
    """One client, which keeps the rows it is sent."""

    def __init__(self, head: bytes, readings: Readings) -> None:
        self.rows: dict[str, int] = {}
        self.snapshots = 0
        self._head = head
        self._readings = readings
        self._rest = b""
        self._event = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(self._head)

    def data_received(self, data: bytes) -> None:
        at = time.perf_counter()
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line.startswith(b"event: "):
                self._event = line[7:]
            elif line.startswith(b"data: ") and self._event != b"progress":
                self._take(json.loads(line[6:])["rows"], at)

    def _take(self, rows: list[dict[str, Any]], at: float) -> None:
        is_change = self._event == b"change"
        self.snapshots += not is_change
        for row in rows:
            device, count = row["device_id"], row["readings"]
            if is_change:
                self._readings.seen(device, self.rows.get(device, 1), count, at)
            self.rows[device] = count


class Load:
    """Sends on schedule, in a thread, until told to end."""

    def __init__(self, pipeline: Pipeline, readings: Readings, rate: int, watched: int) -> None:
        self._pipeline, self._readings = pipeline, readings
        self._rate, self._watched = rate, watched
        self._ended = threading.Event()

    @contextmanager
    def running(self) -> Any:
        thread = threading.Thread(target=self._send)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def _send(self) -> None:
        producer = Producer(
            {
                "bootstrap.servers": self._pipeline.bootstrap_servers,
                "linger.ms": 5,
                "enable.idempotence": True,
                "partitioner": "murmur2_random",
            }
        )
        began, number = time.perf_counter(), 0
        while not self._ended.is_set():
            scheduled = began + number / self._rate
            if (wait := scheduled - time.perf_counter()) > 0:
                producer.poll(0)
                time.sleep(wait)
            device = f"device_{number * STRIDE % self._watched}"
            self._readings.sent_at[device].append(scheduled)
            value = (
                f'{{"timestamp": "2025-04-30 10:11:21", "device_id": "{device}", '
                f'"energy_consumed": 1, "location": "Kitchen"}}'
            )
            producer.produce(READINGS.name, value, device)
            number += 1
        if producer.flush(60):
            raise RuntimeError("Kafka did not take all readings")


def point_reads(port: int, token: str, seconds: float) -> list[float]:
    """Ask on schedule for one device after the other; returns the sorted seconds of each."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    headers, took = {"Authorization": f"Bearer {token}"}, []
    began = time.perf_counter()
    for number in range(int(seconds * READS_PER_SECOND)):
        scheduled = began + number / READS_PER_SECOND
        time.sleep(max(0.0, scheduled - time.perf_counter()))
        connection.request("GET", f"/v0/devices/device_{number}", headers=headers)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200
        took.append(time.perf_counter() - scheduled)
    return sorted(took)


class Bench:
    """The measurements, one after the other, on one pipeline."""

    def __init__(self, pipeline: Pipeline, token: str, options: argparse.Namespace) -> None:
        self.pipeline, self.options, self.token = pipeline, options, token
        self.readings = Readings()
        self.api = psutil.Process(pipeline.api.pid)
        self.others = ProcessPoolExecutor(1, get_context("spawn"))
        self.streams: list[Stream] = []
        self.missed: list[str] = []

    def say(self, what: str, figure: float, unit: str, most: float) -> None:
        mark = "" if figure <= most else "   MISSED"
        print(f"{what}: {figure:,.1f} {unit} (at most {most:,.0f}){mark}", flush=True)
        if mark:
            self.missed.append(what)

    async def open(self, place: int) -> Stream:
        ids = ",".join(f"device_{place * EACH + n}" for n in range(EACH))
        # Two tokens, so that neither has more than its part.
        token = self.pipeline.token if place % 2 else self.token
        head = f"GET {STREAM}?device_id={ids} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}"
        loop = asyncio.get_running_loop()
        made = Stream(f"{head}\r\n\r\n".encode(), self.readings)
        await loop.create_connection(lambda: made, "127.0.0.1", self.pipeline.port)
        return made

    async def reads_meanwhile(self, seconds: float) -> list[float]:
        loop, port, token = asyncio.get_running_loop(), self.pipeline.port, self.pipeline.token
        return await loop.run_in_executor(self.others, point_reads, port, token, seconds)

    async def run(self) -> None:
        options = self.options
        load = Load(self.pipeline, self.readings, options.rate, options.streams * EACH)
        with load.running():
            await asyncio.sleep(WARM_UP_SECONDS)
            alone = await self.reads_meanwhile(5)
            print(f"point reads without streams: p99 {1000 * percentile(alone, 0.99):.1f} ms")
            before = memory_of(self.api.pid)
            for place in range(options.streams):
                self.streams.append(await self.open(place))
            await asyncio.sleep(5)
            await self.steady("all read", options.seconds)
            grown = (memory_of(self.api.pid) - before) / options.streams
            self.say("memory for each stream", grown / 1_000, "kB", 30)
            await self.slow()
            await self.storm()
        await self.last_values()

    async def steady(self, name: str, seconds: float) -> None:
        self.readings.delays.clear()
        cpu, began = sum(self.api.cpu_times()[:2]), time.perf_counter()
        reads = await self.reads_meanwhile(seconds)
        used = (sum(self.api.cpu_times()[:2]) - cpu) / (time.perf_counter() - began)
        delays = sorted(self.readings.delays)
        print(
            f"{name}: {len(delays):,} clocks, p50 {1000 * percentile(delays, 0.5):.0f} ms, max "
            f"{1000 * delays[-1]:.0f}; API {100 * used:.0f} % of a core"
        )
        self.say(f"{name}: publish -> event, p99", 1000 * percentile(delays, 0.99), "ms", 250)
        self.say(f"{name}: point reads, p99", 1000 * percentile(reads, 0.99), "ms", 50)

    async def slow(self) -> None:
        """Readers of all devices at 10 kB/s beside the others."""
        loop, slow, before = asyncio.get_running_loop(), [], memory_of(self.api.pid)
        head = f"GET {STREAM} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self.token}\r\n\r\n"
        for _ in range(SLOW):
            connection = socket.socket()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
            connection.setblocking(False)
            await loop.sock_connect(connection, ("127.0.0.1", self.pipeline.port))
            await loop.sock_sendall(connection, head.encode())
            slow.append(connection)
        highest = 0

        async def read() -> None:
            nonlocal highest
            while True:
                for connection in slow:
                    try:
                        if not connection.recv(SLOW_BYTES):
                            raise RuntimeError("a slow reader was cut off")
                    except BlockingIOError:
                        pass
                highest = max(highest, memory_of(self.api.pid))
                await asyncio.sleep(SLOW_SECONDS)

        reading = asyncio.create_task(read())
        await asyncio.sleep(2)
        await self.steady(f"beside {SLOW} slow readers of all", self.options.seconds)
        self.say(f"memory for {SLOW} slow readers", (highest - before) / 1e6, "MB", 100)
        if reading.done():
            reading.result()
        reading.cancel()
        for connection in slow:
            connection.close()

    async def storm(self) -> None:
        """All go away and come again within seconds."""
        for stream in self.streams:
            stream.transport.abort()
        self.readings.delays.clear()
        began = time.perf_counter()
        reading = asyncio.create_task(self.reads_meanwhile(STORM_SECONDS))
        for place in range(len(self.streams)):
            due = began + place * STORM_SECONDS / len(self.streams)
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            self.streams[place] = await self.open(place)
        took = time.perf_counter() - began
        reads = await reading
        print(f"storm: {len(self.streams):,} streams in {took:.1f} s")
        self.say("storm: point reads, p99", 1000 * percentile(reads, 0.99), "ms", 50)

    async def last_values(self) -> None:
        """After the last reading: nobody missed one, nobody shows an old total."""
        await asyncio.sleep(3)
        stale = [
            (device, count)
            for stream in self.streams
            for device, count in stream.rows.items()
            if count != 1 + len(self.readings.sent_at[device])
        ]
        short = sum(1 for stream in self.streams if len(stream.rows) != EACH)
        again = sum(1 for stream in self.streams if stream.snapshots != 1)
        self.say("streams that lack a row", short, "", 0)
        self.say("rows that are not the newest", len(stale), "", 0)
        self.say("snapshots too many", again, "", 0)


def main() -> int:
    """Run and print."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--rate", type=int, default=1_000, help="readings a second")
    arguments.add_argument("--streams", type=int, default=1_000)
    arguments.add_argument("--seconds", type=float, default=20)
    options = arguments.parse_args()
    print(machine.as_text(machine.described()))
    with tempfile.TemporaryDirectory() as directory, running_pipeline(Path(directory)) as pipeline:
        token = TokenStore(Path(directory) / TOKENS_NAME).create("streams", ["ADMIN"])
        preload(pipeline.bootstrap_servers, DEVICES)
        Client(pipeline).wait_until_applied(DEVICES)
        bench = Bench(pipeline, token, options)
        asyncio.run(bench.run())
        bench.others.shutdown()
    return 1 if bench.missed else 0


if __name__ == "__main__":
    sys.exit(main())
