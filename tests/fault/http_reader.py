"""Polls the HTTP API as a client would, and holds every answer against the log: I10, I11, I12.

Plain http.client, json and fractions. An answer names the offsets that it has; the log says what
a device's total and readings are at exactly these offsets, and at each location. So answers of
totals and of the series that name the same offsets add up, and none mixes two moments.
"""

from __future__ import annotations

import http.client
import json
import threading
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable
from fractions import Fraction
from itertools import cycle
from typing import Any, NamedTuple

from tests.oracle import judge

DEVICES = ("hot", "device_199", "device_150")
_PAUSE_SECONDS = 0.01
_ANSWER_SECONDS = 10
_OK, _THE_SAME, _UNKNOWN_DEVICE, _LATER = 200, 304, 404, 503
TOTALS, SERIES = "totals", "series"
_PATHS = {
    TOTALS: "/v0/devices/",
    SERIES: "/v0/pipes/energy_consumption_by_location.json?device_id=",
}


class Sample(NamedTuple):
    """What an answer says that a device has at the offsets that it names; None: everywhere."""

    device: str
    location: str | None
    applied: tuple[tuple[int, int], ...]
    readings: int
    total: Fraction


class Answered(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: bytes


class HttpReader:
    """One client with one connection, in a thread of its own."""

    def __init__(self, port: int, token: str) -> None:
        self.polls = 0
        self.later = 0
        #: By view.
        self.answers = {TOTALS: 0, SERIES: 0}
        #: I10: an offset or a device's readings fell within the life of one process.
        self.fell: list[str] = []
        #: I12: answers that the contract does not have.
        self.wrong: list[str] = []
        self.lag_records: int | None = None
        self._samples: dict[str, set[Sample]] = {TOTALS: set(), SERIES: set()}
        self._applied: dict[str, dict[int, int]] = {TOTALS: {}, SERIES: {}}
        self._readings: Counter[tuple[str, str]] = Counter()
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_ANSWER_SECONDS)
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
            self._applied = {TOTALS: {}, SERIES: {}}
            self._readings.clear()

    def verdict(self, records: Iterable[Any]) -> dict[str, Any]:
        """Hold all answers against the readings log; each number that begins with I must be 0."""
        histories, (totals, series) = History.read(records), self._samples.values()
        untrue = [
            sample
            for sample in totals | series
            if not histories[sample.device, sample.location].has(sample)
        ]
        return {
            "I10": len(self.fell),
            "I11": len(untrue) + (self.lag_records != 0),
            "I12": len(self.wrong),
            "polls": self.polls,
            "polls_503": self.later,
            "answers_of_totals": self.answers[TOTALS],
            "answers_of_series": self.answers[SERIES],
            # As often were two of a device of the same offsets: both are what the log says.
            "answers_at_equal_offsets": len(totals & series),
            "told": [*self.fell[:3], *self.wrong[:3], *map(str, untrue[:3])],
        }

    def _run(self) -> None:
        devices = cycle(DEVICES)
        while not self._stopped.wait(_PAUSE_SECONDS):
            self._poll(next(devices))
        # Its lag is the one of when it was stopped, not of some answer before.
        self._poll(DEVICES[0])
        self._connection.close()

    def _poll(self, device: str) -> None:
        for view in _PATHS:
            with self._lock:
                try:
                    self._judge(view, device, self._ask(view, device))
                except (OSError, http.client.HTTPException):
                    self._connection.close()
                    return

    def _ask(self, view: str, device: str, **headers: str) -> Answered:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self._connection.request("GET", _PATHS[view] + device, headers=self._headers | named)
        answer = self._connection.getresponse()
        return Answered(answer.status, answer.headers, answer.read())

    def _judge(self, view: str, device: str, answer: Answered) -> None:
        self.polls += 1
        if answer.status == _LATER and answer.headers.get("Retry-After"):
            self.later += 1
        elif answer.status == _OK:
            self._take(view, device, answer)
        elif answer.status != _UNKNOWN_DEVICE or view == SERIES or self._readings[view, device]:
            self.wrong.append(f"{view} of {device}: {answer.status} {answer.body[:200]!r}")

    def _take(self, view: str, device: str, answer: Answered) -> None:
        named = answer.headers["X-Applied-Offsets"]
        pairs = (each.split(":") for each in named.split(","))
        applied = {int(partition): int(offset) for partition, offset in pairs}
        for partition, offset in self._applied[view].items():
            if applied.get(partition, -1) < offset:
                self.fell.append(f"{view}, partition {partition}: {offset} then {named}")
        self._applied[view] = applied
        found = json.loads(answer.body)
        places = {None: found} if view == TOTALS else {e["location"]: e for e in found["data"]}
        offsets = tuple(sorted(applied.items()))
        samples = [Sample(device, place, offsets, *_amount(each)) for place, each in places.items()]
        if view == TOTALS:
            lag = answer.headers["X-Lag-Records"]
            self.lag_records = int(lag) if lag.isdigit() else None
        else:
            readings, total = sum(e.readings for e in samples), sum(e.total for e in samples)
            samples.append(Sample(device, None, offsets, readings, Fraction(total)))
        readings = samples[-1].readings
        if readings < self._readings[view, device]:
            before = self._readings[view, device]
            self.fell.append(f"{view} of {device}: {before} readings then {readings}")
        self._readings[view, device] = readings
        if view == TOTALS or self._is_still_so(device, answer):
            self._samples[view].update(samples)
            self.answers[view] += 1

    def _is_still_so(self, device: str, answer: Answered) -> bool:
        """Whether the series stands where it was asked still: an answer may be newer than said."""
        again = self._ask(SERIES, device, If_None_Match=answer.headers["ETag"])
        return again.status == _THE_SAME


def _amount(found: dict[str, Any]) -> tuple[int, Fraction]:
    return int(found["readings"]), Fraction(found["total_energy_consumed_exact"])


class History:
    """What one device had, somewhere or everywhere, after each of its readings, by partition."""

    def __init__(self) -> None:
        self._offsets: dict[int, list[int]] = {}
        self._totals: dict[int, list[Fraction]] = {}

    @staticmethod
    def read(records: Iterable[Any]) -> dict[tuple[str, str | None], History]:
        """Fold the readings log for the devices that are polled."""
        histories: dict[tuple[str, str | None], History] = defaultdict(History)
        names = [device.encode() for device in DEVICES]
        for record in records:
            value = record.value() or b""
            # The judge is thorough, and slow: most records are of other devices.
            found = judge(value) if any(name in value for name in names) else None
            if found is not None and found.device_id in DEVICES:
                for location in (None, found.location):
                    history = histories[found.device_id, location]
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
