"""`energy simulate`: publish a simulated fleet, and keep the oracle of what Kafka acknowledged.

Writes: the readings topic, and the oracle file (complete or not at all, at the end).
Guarantees: the oracle has each acknowledged reading once and no other; while no broker answers
it waits, and never counts what is not acknowledged.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from contract.errors import SettingError
from contract.topics import READINGS
from producer.client.delivery import Delivery
from producer.client.reading_producer import ReadingProducer
from producer.errors import QueueFull, RecordsRefused
from producer.fleet.fleet import Fleet
from producer.fleet.home import Home
from producer.fleet.oracle import Oracle
from producer.fleet.simulated import Readings, Simulated
from producer.pacing import Pace
from producer.settings import Partitioner, ProducerSettings

_SLICE = 5000
_PROGRESS_SECONDS = 0.2
_STOP_SECONDS = 8.0
_CHECK_SECONDS = 10.0
#: Paced: at least how often what is due is sent, and what comes is collected.
_TICK_SECONDS = 0.02
#: At most: a wake-up for each of 10,000 readings/s takes half a core from what it is tried on.
_SHORTEST_TICK_SECONDS = 0.002
_LARGEST_DEVICES = 10_000_000


@dataclass(frozen=True)
class SimulateOptions:
    """What to publish. Without `readings` it continues until it is stopped.

    With `start` it is a home: each device has a reading every `every` seconds from then on, to
    the present where `readings` is None; with a `rate` it continues from there.

    Raises: SettingError that names the option and its bound.
    """

    settings: ProducerSettings
    devices: int = 1000
    readings: int | None = None
    rate: float | None = None
    seed: int = 1
    bad: float = 0.0
    key: Partitioner = "murmur2"
    oracle: Path | None = None
    start: datetime | None = None
    every: float = 900.0
    #: Where sums of devices, locations and quarters of an hour are written.
    quarters: Path | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.devices <= _LARGEST_DEVICES:
            raise SettingError("--devices", f"must be from 1 to {_LARGEST_DEVICES}")
        if self.readings is not None and self.readings < 0:
            raise SettingError("--readings", "must be 0 or more")
        if self.rate is not None and not (self.rate > 0 and math.isfinite(self.rate)):
            raise SettingError("--rate", "must be more than 0")
        if not 0 <= self.bad < 1:
            raise SettingError("--bad", "must be from 0 to below 1")
        if not (0.001 <= self.every <= 366 * 86_400):
            raise SettingError("--every", "must be from 0.001 seconds to a year")
        for option, path in (("--oracle", self.oracle), ("--quarters", self.quarters)):
            if path is not None and not path.absolute().parent.is_dir():
                raise SettingError(option, "must name a file in a directory that exists")


@dataclass(frozen=True)
class SimulateSummary:
    """How it ended, in records; `bad_sent` are among the acknowledged ones."""

    acknowledged: int
    refused: int
    unknown: int
    bad_sent: int
    seconds: float


class _Run:
    """One run: what is under way, and what has come of the rest."""

    def __init__(self, options: SimulateOptions, producer: ReadingProducer) -> None:
        self.acknowledged = self.refused = self.unknown = self.bad_sent = 0
        self.reason: str | None = None
        self.oracle = Oracle(with_quarters=options.quarters is not None)
        self._is_kept = bool(options.oracle or options.quarters or options.bad)
        self._producer = producer
        self._under_way: deque[tuple[Simulated, Delivery]] = deque()
        self._next: Simulated | None = None
        self._fleet = _readings(options)

    @property
    def is_paced(self) -> bool:
        """Whether the rate holds for what comes next."""
        return not self._fleet.is_of_the_past

    def send(self, most: int) -> int | None:
        """Send the next values if there is room; returns how many, None at the end."""
        made = self._next or self._fleet.take(most)
        if not made.values:
            return None
        delivery = self._producer.open(keep_failed=True)
        try:
            delivery.send(READINGS.name, made.values, made.keys)
        except QueueFull:
            self._next = made
            return 0
        except BaseException:
            self._under_way.append((made, delivery))
            delivery.seal()
            raise
        self._next = None
        self._under_way.append((made, delivery))
        delivery.seal()
        return len(made.values)

    def collect(self, wait_seconds: float = 0.0) -> bool:
        """Take the outcomes that are known; tells whether there are others."""
        if wait_seconds and self._under_way:
            self._under_way[0][1].wait(wait_seconds)
        while self._under_way and self._under_way[0][1].is_done:
            made, delivery = self._under_way.popleft()
            outcome = delivery.wait()
            assert outcome is not None
            self.acknowledged += sum(outcome.acknowledged.values())
            self.refused += outcome.refused
            self.unknown += outcome.unknown
            if self._is_kept:
                self.bad_sent += self.oracle.add(made, delivery.failed_values)
            if outcome.refused:
                self.reason = self.reason or outcome.reason
        return bool(self._under_way)


def _readings(options: SimulateOptions) -> Readings:
    devices, seed, bad = options.devices, options.seed, options.bad
    if options.start is None:
        rate = options.rate or 1000.0
        return Fleet(devices=devices, seed=seed, readings=options.readings, rate=rate, bad=bad)
    return Home(
        devices=devices,
        seed=seed,
        start=options.start,
        every=options.every,
        readings=options.readings,
        bad=bad,
        live_every=None if options.rate is None else devices / options.rate,
    )


def run(
    options: SimulateOptions,
    on_progress: Callable[[int, int | None], None] = lambda done, total: None,
    *,
    should_stop: Callable[[], bool] = lambda: False,
) -> SimulateSummary:
    """Publish the fleet; blocks until all of it has an outcome, or `should_stop`.

    `on_progress(done, total)` is called five times a second with acknowledged readings and those
    asked for. After KeyboardInterrupt, too, the oracle is written (then it
    is raised again).
    Raises: BrokerUnreachable, TopicMissing, RecordsRefused.
    """
    # A simulated device has nowhere else to go with its readings: it never gives up.
    endless = {"delivery_timeout_seconds": 0.0, "partitioner": options.key}
    producer = ReadingProducer(options.settings.model_copy(update=endless))
    work = _Run(options, producer)
    started = time.monotonic()
    try:
        producer.check(READINGS.name, timeout_seconds=_CHECK_SECONDS)
        _send_all(work, options, on_progress, should_stop)
    finally:
        producer.stop(_STOP_SECONDS)
        work.collect(_STOP_SECONDS)
        if options.oracle is not None:
            work.oracle.write(options.oracle)
        if options.quarters is not None:
            work.oracle.write_quarters(options.quarters)
    on_progress(work.acknowledged - work.bad_sent, options.readings)
    return SimulateSummary(
        work.acknowledged,
        work.refused,
        work.unknown,
        work.bad_sent,
        time.monotonic() - started,
    )


def _send_all(
    work: _Run,
    options: SimulateOptions,
    on_progress: Callable[[int, int | None], None],
    should_stop: Callable[[], bool],
) -> None:
    now = time.monotonic()
    # A home's past of so many readings, too, is sent at the rate, where there is one.
    is_paced = options.rate is not None and (work.is_paced or options.readings is not None)
    pace = Pace(options.rate, now) if options.rate is not None and is_paced else None
    shown = now
    has_more = True
    while (work.collect() or has_more) and not should_stop():
        if work.reason is not None:
            raise RecordsRefused(f"Kafka refused records: {work.reason}")
        now = time.monotonic()
        if now - shown >= _PROGRESS_SECONDS:
            shown = now
            on_progress(work.acknowledged - work.bad_sent, options.readings)
        if pace is None and options.rate is not None and work.is_paced:
            pace = Pace(options.rate, now)
        due = _SLICE if pace is None else min(_SLICE, pace.due(now))
        if not has_more:
            work.collect(_TICK_SECONDS)
        elif not due and pace is not None:
            time.sleep(min(_TICK_SECONDS, pace.seconds_to_next(now)))
        else:
            sent = work.send(due)
            has_more = sent is not None
            if sent and pace is not None:
                pace.take(sent)
                if sent < _SLICE:
                    time.sleep(_SHORTEST_TICK_SECONDS)
            elif sent == 0:
                work.collect(_TICK_SECONDS)
