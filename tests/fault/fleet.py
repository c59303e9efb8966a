"""A seeded fleet that publishes readings, and the oracle made from what Kafka acknowledged.

Plain confluent-kafka, json, random and fractions: nothing of ours, so that no mistake of ours
is in here too. Weights are random 40-bit integers and decimals of 1 to 60 digits: a loss and a
double cannot cancel. A quarter of the devices have one reading each, one has 30 % of all.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

from confluent_kafka import Producer

READINGS = "energy_consumption"
_TICK_SECONDS = 0.02
_BEGAN = datetime(2025, 4, 30, 10, 11, 21, tzinfo=UTC)
#: How a timestamp may end: its fraction, its offset.
_ENDS = ("", "", "", "", "Z", ".999999999", "+05:45", "-00:15")
_LOCATIONS = ("Kitchen", "Kitchen", "Kitchen", "Living Room", "")

BAD_VALUES: tuple[bytes | None, ...] = (
    None,
    b"",
    b"garbage",
    b"\xff\xfe",
    b'{"timestamp": "2025-04-30 10:11:21", "device_id": "bad_1"}',
    b'{"timestamp": "2025-02-30 10:11:21", "device_id": "bad_2", '
    b'"energy_consumed": 1, "location": "x"}',
    b'{"timestamp": "2025-04-30 10:11:21", "device_id": "bad_3", '
    b'"energy_consumed": "1_0", "location": "x"}',
    b'{"timestamp": "2025-04-30 10:11:21", "device_id": "bad_4", '
    b'"energy_consumed": 1, "location": "x"},{"x":[{}',
    b'{}],"timestamp": "2025-04-30 10:11:21", "device_id": "bad_5", '
    b'"energy_consumed": 1, "location": "x"}',
)

Place = tuple[int, int]
"""(partition, offset)."""


@dataclass
class Oracle:
    """What Kafka acknowledged, and what it never answered."""

    totals: dict[str, Fraction] = field(default_factory=lambda: defaultdict(Fraction))
    counts: Counter[str] = field(default_factory=Counter)
    good: dict[Place, str] = field(default_factory=dict)
    bad: set[Place] = field(default_factory=set)
    unknown: int = 0
    refused: list[str] = field(default_factory=list)
    #: Another client publishes too, and judges its own rows: then the log says what counts.
    others_publish: bool = False

    def acknowledged(self) -> int:
        return len(self.good) + len(self.bad)


class Fleet:
    """Publishes from a thread of its own at a steady rate until it is stopped."""

    def __init__(
        self,
        bootstrap_servers: str,
        *,
        seed: int,
        rate: int = 1_000,
        devices: int = 200,
        partitions: int = 4,
        bad: float = 0.01,
        calendar: Callable[[], float] | None = None,
        topic: str = READINGS,
    ) -> None:
        """With a `calendar`, seconds since 1970, readings are of its day or of some days before."""
        self.oracle = Oracle()
        self.partitions = partitions
        self._topic = topic
        self._chance = random.Random(seed)
        self._rate, self._bad = rate, bad
        self._calendar = calendar
        self._devices = devices
        self._singles = [f"single_{number}" for number in range(devices // 3)]
        self._chance.shuffle(self._singles)
        self._sent = 0
        self._lock = threading.Lock()
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap_servers,
                "enable.idempotence": True,
                "linger.ms": 5,
                "delivery.timeout.ms": 120_000,
                "partitioner": self._chance.choice(["murmur2_random", "consistent_random"]),
                "log_level": 0,
            }
        )
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fleet", daemon=True)

    def start(self) -> Fleet:
        self._thread.start()
        return self

    def publish(self, count: int) -> None:
        """Publish so many at once, beside what the thread does."""
        with self._lock:
            for _ in range(count):
                self._publish_one()
            self._producer.poll(0)  # delivery reports come in here: one thread at a time

    def publish_long_names(self, count: int) -> None:
        """Publish one reading of each of so many devices, whose names are random and long."""
        with self._lock:
            for _ in range(count):
                self._publish_reading(f"{self._chance.getrandbits(1000):0250x}")
            self._producer.poll(0)

    def publish_bad(self, count: int) -> None:
        """Publish so many bad records in a row."""
        with self._lock:
            for number in range(count):
                value = BAD_VALUES[number % len(BAD_VALUES)]
                self._send(value, None, self._chance.randrange(self.partitions), None)
            self._producer.poll(0)

    def send_bad(self, value: bytes, partition: int) -> None:
        """Publish one bad record to a partition."""
        with self._lock:
            self._send(value, None, partition, None)

    def flush(self, seconds: float = 60) -> None:
        """Wait for every answer; publishing may go on."""
        with self._lock:
            assert self._producer.flush(seconds) == 0

    def state(self) -> str:
        """Whether it publishes, and how much it waits for."""
        alive = "publishing" if self._thread.is_alive() else "not publishing"
        return f"{self._sent} sent, {len(self._producer)} not answered, {alive}"

    def finish(self, seconds: float = 60) -> Oracle:
        """Stop publishing and wait for every answer."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()
        self.oracle.unknown = self._producer.flush(seconds)
        return self.oracle

    def _run(self) -> None:
        each = max(1, round(self._rate * _TICK_SECONDS))
        due = time.monotonic()
        while not self._stopped.is_set():
            self.publish(each)
            due += _TICK_SECONDS
            self._stopped.wait(max(0.0, due - time.monotonic()))

    def _publish_one(self) -> None:
        chance = self._chance
        if chance.random() < self._bad:
            value = chance.choice(BAD_VALUES)
            self._send(value, chance.choice([None, b"k"]), chance.randrange(self.partitions), None)
            return
        self._publish_reading(self._device())

    def _publish_reading(self, device: str) -> None:
        chance = self._chance
        number = self._number()
        energy = f'"{number}"' if chance.random() < 0.1 else number
        value = (
            f'{{"timestamp": "{self._timestamp()}", "device_id": {json.dumps(device)}, '
            f'"energy_consumed": {energy}, "location": "{chance.choice(_LOCATIONS)}"}}'
        ).encode()
        # Keyed, or without a key on any partition: a device can be in all of them.
        if chance.random() < 0.7:
            self._send(value, device.encode(), -1, (device, number))
        else:
            self._send(value, None, chance.randrange(self.partitions), (device, number))

    def _device(self) -> str:
        self._sent += 1
        if self._singles and self._sent % 20 == 0:
            return self._singles.pop()
        if self._chance.random() < 0.3:
            return "hot"
        # Some fall silent: the first ones are heard of only in the beginning.
        low = min(self._devices // 2, self._sent // 500)
        return f"device_{self._chance.randrange(low, self._devices)}"

    def _timestamp(self) -> str:
        """Time goes on, a quarter in 5,000 readings; at times some are late, or from elsewhere."""
        chance = self._chance
        now = _BEGAN + timedelta(seconds=0.18 * self._sent)
        latest = 100_000
        if self._calendar is not None:
            now, latest = datetime.fromtimestamp(self._calendar(), UTC), 500_000
        if self._sent // 500 % 2:
            return f"{now:%Y-%m-%d %H:%M:%S}"
        late = chance.randrange(latest) if chance.random() < 0.1 else 0
        return f"{now - timedelta(seconds=late):%Y-%m-%d %H:%M:%S}{chance.choice(_ENDS)}"

    def _number(self) -> str:
        chance = self._chance
        if chance.random() < 0.7:
            return str(chance.getrandbits(40))
        digits = "".join(chance.choices("0123456789", k=chance.randrange(1, 60)))
        point = chance.randrange(len(digits) + 1)
        whole, rest = digits[:point].lstrip("0") or "0", digits[point:]
        return chance.choice(["", "-"]) + whole + (f".{rest}" if rest else "")

    def _send(self, value: bytes | None, key: bytes | None, partition: int, reading: Any) -> None:
        def delivered(error: Any, message: Any) -> None:
            if error is not None:
                self.oracle.refused.append(str(error))
                return
            place = (message.partition(), message.offset())
            if reading is None:
                self.oracle.bad.add(place)
                return
            device, number = reading
            self.oracle.good[place] = device
            self.oracle.totals[device] += Fraction(number)
            self.oracle.counts[device] += 1

        while True:
            try:
                self._producer.produce(
                    self._topic, value, key, partition=partition, on_delivery=delivered
                )
                break
            except BufferError:
                self._producer.poll(0.05)
        if self._sent % 100 == 0:
            self._producer.poll(0)
