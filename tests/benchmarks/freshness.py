"""How long from a device's send until the reading is visible over HTTP.

`python -m tests.benchmarks.freshness --rate 1000 --seconds 20`
`python -m tests.benchmarks.freshness --rate 20000 --linger 5`
`python -m tests.benchmarks.freshness --rate 1000 --view series`; `ENERGY_SERIES=off` leaves it out

Without `--linger` each record is a request of its own, as from devices that publish for
themselves; with 5 it is as from this project's producer, whose default that is.

Open loop: sends have a schedule, and a reading's clock starts at its scheduled send, also when
the sender is late. One client polls an answer's X-Applied-Offsets as fast as it is answered;
a reading is visible with the first answer, read whole, whose applied offset covers it. Beyond
2,000 readings/s a clock runs for each n-th alone: a call back for each would be most of the load.
"""

from __future__ import annotations

import argparse
import http.client
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import psutil
from confluent_kafka import KafkaError, Message, Producer

from contract.topics import READINGS
from tests.benchmarks import machine
from tests.benchmarks.figures import percentile
from tests.benchmarks.running import Pipeline, running_pipeline
from tests.pids import parts_of
from tests.process_memory import memory_of, with_children

#: A new broker compiles its code for some seconds, on a core of its own.
WARM_UP_SECONDS = 20.0
#: Readings of a second whose clock runs, at most.
MOST_TRACKED = 2_000
#: What is asked of a view; each answer tells how far the view is.
PATHS = {
    "totals": "/v0/pipes/energy_consumption_by_device.json?device_id=device_1",
    "series": "/v0/pipes/energy_consumption_over_time.json?device_id=device_1",
}
#: After the last send: the series waits for its clock.
SETTLE_SECONDS = 3.0
#: At most, where the sender is behind its schedule.
SENDS_BETWEEN_POLLS = 256


class Freshness(NamedTuple):
    """Seconds from send to visible, sorted; CPU in cores by process."""

    rate: int
    delays: list[float]
    cores: dict[str, float]
    poll_seconds: float
    api_memory: int

    def ms(self, share: float) -> float:
        """Return what this share of the readings did not exceed, in milliseconds."""
        return 1000 * percentile(self.delays, share)

    def as_text(self) -> str:
        return (
            f"publish -> visible over HTTP at {self.rate:,}/s, {len(self.delays):,} clocks: "
            f"p50 {self.ms(0.5):.1f} ms, p90 {self.ms(0.9):.1f}, p99 {self.ms(0.99):.1f}, "
            f"max {self.ms(1):.1f}; polls every {1000 * self.poll_seconds:.1f} ms; "
            f"the API takes {self.api_memory >> 20} MB beside page cache; CPU in % of a core: "
            + ", ".join(f"{name} {100 * share:.0f}" for name, share in self.cores.items())
        )


def main() -> None:
    """Run and print."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--rate", type=int, default=1_000, help="readings a second")
    arguments.add_argument("--seconds", type=float, default=20)
    arguments.add_argument("--devices", type=int, default=1_000)
    arguments.add_argument("--view", choices=tuple(PATHS), default="totals")
    arguments.add_argument("--linger", type=int, default=0, help="the client's, in ms")
    options = arguments.parse_args()
    print(machine.as_text(machine.described()))
    with tempfile.TemporaryDirectory() as directory, running_pipeline(Path(directory)) as pipeline:
        found = measure(
            pipeline,
            options.rate,
            options.seconds,
            options.devices,
            linger_ms=options.linger,
            path=PATHS[options.view],
        )
        print(found.as_text())


def measure(
    pipeline: Pipeline,
    rate: int,
    seconds: float,
    devices: int,
    *,
    linger_ms: int = 0,
    path: str = PATHS["totals"],
) -> Freshness:
    """Send on schedule, and poll; what the first seconds bring does not count."""
    polls: list[tuple[float, dict[int, int]]] = []
    stop = threading.Event()
    poller = threading.Thread(target=poll, args=(pipeline, path, polls, stop))
    poller.start()
    processes = {
        "broker": psutil.Process(pipeline.broker_pid),
        "worker": psutil.Process(pipeline.worker.pid),
        "API": psutil.Process(pipeline.api.pid),
        **{name: psutil.Process(pid) for name, pid in parts_of(pipeline.api.pid).items()},
        "this": psutil.Process(),
    }
    before: dict[str, float] = {}
    timer = threading.Timer(WARM_UP_SECONDS, lambda: before.update(cpu_seconds(processes)))
    timer.start()
    began = time.perf_counter()
    sent = send(
        pipeline.bootstrap_servers,
        rate,
        seconds + WARM_UP_SECONDS,
        devices,
        warm_up=WARM_UP_SECONDS,
        linger_ms=linger_ms,
    )
    used = time.perf_counter() - began
    cpu = {
        name: (after - before[name]) / (used - WARM_UP_SECONDS)
        for name, after in cpu_seconds(processes).items()
    }
    time.sleep(SETTLE_SECONDS)
    stop.set()
    poller.join()
    delays = delays_of(sent, polls, began + WARM_UP_SECONDS)
    return Freshness(
        rate, delays, cpu, used / len(polls), memory_of(*with_children(pipeline.api.pid))
    )


def cpu_seconds(processes: dict[str, psutil.Process]) -> dict[str, float]:
    """User and system time of each."""
    times = {name: process.cpu_times() for name, process in processes.items()}
    return {name: each.user + each.system for name, each in times.items()}


def send(
    bootstrap_servers: str,
    rate: int,
    seconds: float,
    devices: int,
    *,
    warm_up: float = 0.0,
    linger_ms: int = 0,
) -> list[tuple[float, int, int]]:
    """Send on schedule; returns (scheduled at, partition, offset) of those whose clock runs."""
    producer = Producer(
        {
            "bootstrap.servers": bootstrap_servers,
            "linger.ms": linger_ms,
            "enable.idempotence": True,
            "partitioner": "murmur2_random",
            "socket.nagle.disable": True,
        }
    )
    acknowledged: list[tuple[float, int, int]] = []
    waits: list[float] = []

    def report(scheduled: float) -> Callable[[KafkaError | None, Message], None]:
        def acknowledge(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                raise RuntimeError(str(error))
            acknowledged.append((scheduled, message.partition() or 0, message.offset() or 0))
            if scheduled >= began + warm_up:
                waits.append(time.perf_counter() - scheduled)

        return acknowledge

    each = -(-rate // MOST_TRACKED)
    began = time.perf_counter()
    for number in range(int(rate * seconds)):
        scheduled = began + number / rate
        wait = scheduled - time.perf_counter()
        if wait > 0 or number % SENDS_BETWEEN_POLLS == 0:
            producer.poll(0)
            wait = scheduled - time.perf_counter()
        if wait > 0:
            time.sleep(wait)
        device = f"device_{number % devices}"
        value = (
            f'{{"timestamp": "2025-04-30 10:11:21", "device_id": "{device}", '
            f'"energy_consumed": {number}, "location": "Kitchen"}}'
        )
        if number % each:
            producer.produce(READINGS.name, value, device)
        else:
            producer.produce(READINGS.name, value, device, on_delivery=report(scheduled))
    producer.flush(30)
    waits.sort()
    print(
        f"  of which until Kafka acknowledged: p50 {1000 * percentile(waits, 0.5):.1f} ms, p99 "
        f"{1000 * percentile(waits, 0.99):.1f}"
    )
    return acknowledged


def poll(
    pipeline: Pipeline,
    path: str,
    polls: list[tuple[float, dict[int, int]]],
    stop: threading.Event,
) -> None:
    """Ask as fast as answers come; note when each was read and what it covers."""
    connection = http.client.HTTPConnection("127.0.0.1", pipeline.port)
    headers = {"Authorization": f"Bearer {pipeline.token}"}
    while not stop.is_set():
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise RuntimeError(f"the API answers {answer.status}")
        applied = answer.headers["X-Applied-Offsets"]
        pairs = (pair.split(":") for pair in applied.split(","))
        polls.append((time.perf_counter(), {int(p): int(offset) for p, offset in pairs}))
        time.sleep(0.001)


def delays_of(
    sent: list[tuple[float, int, int]],
    polls: list[tuple[float, dict[int, int]]],
    counted_from: float,
) -> list[float]:
    """Return each reading's seconds to visibility, sorted. Raises: RuntimeError if one is not."""
    delays = []
    for partition in {partition for _, partition, _ in sent}:
        wanted = sorted((offset, at) for at, p, offset in sent if p == partition)
        place = 0
        for read_at, applied in polls:
            while place < len(wanted) and wanted[place][0] <= applied.get(partition, -1):
                if wanted[place][1] >= counted_from:
                    delays.append(read_at - wanted[place][1])
                place += 1
        if place < len(wanted):
            raise RuntimeError(f"{len(wanted) - place} readings never became visible")
    return sorted(delays)


if __name__ == "__main__":
    main()
