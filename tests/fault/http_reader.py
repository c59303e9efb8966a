"""Polls the HTTP API as a client would, and holds every answer against the log: I10, I11, I12.

Plain http.client, json and fractions. An answer names the offsets that it has; the log says what
a device's total and readings are at exactly these offsets.
"""

from __future__ import annotations

import http.client
import json
import threading
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from fractions import Fraction
from itertools import cycle
from typing import Any, NamedTuple

from tests.oracle import judge

DEVICES = ("hot", "device_199", "device_150")
_PAUSE_SECONDS = 0.01
_ANSWER_SECONDS = 10
_OK, _UNKNOWN_DEVICE, _LATER = 200, 404, 503


class Sample(NamedTuple):
    """One answer: what a device has at the offsets that the answer names."""

    device: str
    applied: tuple[tuple[int, int], ...]
    readings: int
    total: Fraction


class HttpReader:
    """One client with one connection, in a thread of its own."""

    def __init__(self, port: int, token: str) -> None:
        self.polls = 0
        self.later = 0
        #: I10: an offset or a device's readings fell within the life of one process.
        self.fell: list[str] = []
        #: I12: answers that the contract does not have.
        self.wrong: list[str] = []
        self.lag_records: int | None = None
        self._samples: set[Sample] = set()
        self._applied: dict[int, int] = {}
        self._readings: dict[str, int] = {}
        self._port = port
        self._headers = {"Authorization": f"Bearer {token}"}
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> HttpReader:
        self._thread.start()
        return self

    def stop(self) -> None:
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def new_life(self) -> None:
        """Another process answers from here on; it may know less at first."""
        with self._lock:
            self._applied, self._readings = {}, {}

    def verdict(self, records: Iterable[Any]) -> dict[str, Any]:
        """Hold all answers against the readings log; each number that begins with I must be 0."""
        histories = History.read(records)
        untrue = [sample for sample in self._samples if not histories[sample.device].has(sample)]
        return {
            "I10": len(self.fell),
            "I11": len(untrue) + (self.lag_records != 0),
            "I12": len(self.wrong),
            "polls": self.polls,
            "polls_503": self.later,
            "told": [*self.fell[:3], *self.wrong[:3], *map(str, untrue[:3])],
        }

    def _run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_ANSWER_SECONDS)
        devices = cycle(DEVICES)
        while not self._stopped.wait(_PAUSE_SECONDS):
            self._poll(connection, next(devices))
        # Its lag is the one of when it was stopped, not of some answer before.
        self._poll(connection, DEVICES[0])
        connection.close()

    def _poll(self, connection: http.client.HTTPConnection, device: str) -> None:
        with self._lock:
            try:
                connection.request("GET", f"/v0/devices/{device}", headers=self._headers)
                answer = connection.getresponse()
                body = answer.read()
            except (OSError, http.client.HTTPException):
                connection.close()
                return
            self._judge(device, answer.status, answer.headers, body)

    def _judge(
        self, device: str, status: int, headers: http.client.HTTPMessage, body: bytes
    ) -> None:
        self.polls += 1
        if status == _LATER and headers.get("Retry-After"):
            self.later += 1
        elif status == _OK:
            self._take(device, headers, json.loads(body))
        elif status != _UNKNOWN_DEVICE or device in self._readings:
            self.wrong.append(f"{device}: {status} {body[:200]!r}")

    def _take(
        self, device: str, headers: http.client.HTTPMessage, found: Mapping[str, Any]
    ) -> None:
        named = headers["X-Applied-Offsets"]
        pairs = (each.split(":") for each in named.split(","))
        applied = {int(partition): int(offset) for partition, offset in pairs}
        for partition, offset in self._applied.items():
            if applied.get(partition, -1) < offset:
                self.fell.append(f"partition {partition}: {offset} then {named}")
        readings = int(found["readings"])
        if readings < self._readings.get(device, 0):
            self.fell.append(f"{device}: {self._readings[device]} readings then {readings}")
        self._applied, self._readings[device] = applied, readings
        lag = headers["X-Lag-Records"]
        self.lag_records = int(lag) if lag.isdigit() else None
        total = Fraction(found["total_energy_consumed_exact"])
        self._samples.add(Sample(device, tuple(sorted(applied.items())), readings, total))


class History:
    """What one device had after each of its readings, by partition."""

    def __init__(self) -> None:
        self._offsets: dict[int, list[int]] = {}
        self._totals: dict[int, list[Fraction]] = {}

    @staticmethod
    def read(records: Iterable[Any]) -> dict[str, History]:
        """Fold the readings log for the devices that are polled."""
        histories = {device: History() for device in DEVICES}
        names = [device.encode() for device in DEVICES]
        for record in records:
            value = record.value() or b""
            # The judge is thorough, and slow: most records are of other devices.
            found = judge(value) if any(name in value for name in names) else None
            if found is not None and found.device_id in histories:
                history = histories[found.device_id]
                history._add(record.partition(), record.offset(), found.energy)
        return histories

    def has(self, sample: Sample) -> bool:
        """Whether that is what the device has at these offsets."""
        readings, total = 0, Fraction()
        for partition, offset in sample.applied:
            count = bisect_right(self._offsets.get(partition, []), offset)
            readings += count
            total += self._totals[partition][count - 1] if count else 0
        return (readings, total) == (sample.readings, sample.total)

    def _add(self, partition: int, offset: int, energy: Fraction) -> None:
        totals = self._totals.setdefault(partition, [])
        self._offsets.setdefault(partition, []).append(offset)
        totals.append((totals[-1] if totals else Fraction()) + energy)
