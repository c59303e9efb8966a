"""One whole pipeline: topics and first view, workers, a fleet, a follower, and the verdict."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from confluent_kafka import IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec

from kafka_io.cluster_changes import ClusterAdmin
from operations.bootstrap import prepare
from operations.settings import TopicSettings
from tests.fault.checker import VIEWS, broken, newest_stores, verdict
from tests.fault.fleet import READINGS, Fleet
from tests.fault.follower import CHANGELOG, Follower
from tests.fault.series_checker import SeriesChangelog
from tests.fault.workers import Workers
from tests.kafka import Kafka, wait_until

DRAIN_SECONDS = 60
SESSION_SECONDS = 2


class Pipeline:
    """On an empty cluster; `finish` drains it, prints one JSON line and judges it."""

    def __init__(
        self, kafka: Kafka, directory: Path, *, seed: int, partitions: int = 4, **environ: str
    ) -> None:
        self.kafka, self.seed, self.partitions = kafka, seed, partitions
        self.admin = kafka.admin()
        self.environ = {
            "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "ENERGY_HOME": str(directory),
            "ENERGY_PARTITIONS": str(partitions),
            "STREAM_APP_SESSION_TIMEOUT_SECONDS": str(SESSION_SECONDS),
            "STREAM_APP_TRANSACTION_TIMEOUT_SECONDS": "10",
            **environ,
        }
        settings = TopicSettings.load(self.environ)
        prepare(ClusterAdmin(settings), settings)
        self.workers = Workers(directory, self.environ)
        self.follower = Follower(kafka.bootstrap_servers, partitions).start()
        self.series = SeriesChangelog(kafka, partitions)
        self.fleet = Fleet(kafka.bootstrap_servers, seed=seed, partitions=partitions)

    def fleet_of(self, **overrides: Any) -> Fleet:
        """Another fleet instead of the default one, before any has published."""
        self.fleet = Fleet(
            self.kafka.bootstrap_servers,
            **{"seed": self.seed, "partitions": self.partitions, **overrides},
        )
        return self.fleet

    def applied_records(self) -> int:
        """How many offsets are applied in all partitions."""
        return sum(self.follower.applied) + self.partitions

    def wait_progress(self, records: int = 1, seconds: float = 40) -> None:
        """Return once so many more offsets are applied."""
        wanted = self.applied_records() + records
        try:
            wait_until(lambda: self.applied_records() >= wanted, f"{records} more applied", seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}; {self.standing()}") from None

    def standing(self) -> str:
        """Where everything stands: high watermarks and last stable offsets, and what is applied."""
        ends = {}
        for topic in (READINGS, CHANGELOG):
            wanted = {TopicPartition(topic, p): OffsetSpec.latest() for p in range(self.partitions)}
            for level in (IsolationLevel.READ_UNCOMMITTED, IsolationLevel.READ_COMMITTED):
                found = self.admin.list_offsets(wanted, isolation_level=level, request_timeout=10)
                try:
                    offsets = {each.partition: f.result().offset for each, f in found.items()}
                except KafkaException as error:
                    ends[f"{topic} {level.name}"] = str(error)
                    continue
                ends[f"{topic} {level.name}"] = str(offsets)
        return f"applied {self.follower.applied}, {ends}, by the fleet {self.fleet.state()}"

    def wait_applied(
        self, what: str, partitions: Iterable[int] | None = None, seconds: float = 40
    ) -> None:
        """Return once each view has applied the log up to its present end.

        A worker that is stopped when only the totals have it leaves the series behind them: what
        is lost or wrong after that begins earlier for the series.
        """
        ends = self.kafka.end_offsets(READINGS)
        wanted = {p: ends[p] for p in (ends if partitions is None else partitions)}
        wait_until(
            lambda: self.follower.has_reached(wanted),
            f"{what}: {ends} applied, it is {self.follower.applied}; " + self._last_lines(),
            seconds,
        )
        self.series.reach({p: self.follower.applied[p] for p in wanted})

    def drain(self, seconds: float = DRAIN_SECONDS) -> None:
        """Finish publishing; return once everything up to the end is applied, in each view."""
        self.fleet.finish()
        self.wait_applied("drained", seconds=seconds)

    def settle(self, *expected_exits: int) -> tuple[dict[str, Any], list[str]]:
        """Drain, stop the workers, check all: (the invariants and facts, what is wrong)."""
        began = time.monotonic()
        self.drain()
        drained = time.monotonic() - began
        # One that is just starting would be ended by the signal itself.
        self.workers.wait_working([worker for worker in self.workers.all if worker.wanted])
        ended = self.workers.stop()
        directories = [worker.directory for worker in self.workers.all]
        stores = {view: newest_stores(directories, view) for view in VIEWS}
        found = verdict(self.kafka, self.fleet.oracle, self.follower, self.series, stores)
        exits = [code for worker in self.workers.all for code in worker.exit_codes]
        wrong = [f"{name} is {value}" for name, value in broken(found).items()]
        wrong += [f"I8: partition {claim}" for claim in self.follower.ahead[:10]]
        wrong += [f"{name} ended with {code}" for name, code in ended.items() if code != 0]
        wrong += self.workers.unexpected(*expected_exits)
        wrong += [
            f"stores of {sorted(held)} of {view}, not one for each partition"
            for view, held in stores.items()
            if len(held) != self.partitions
        ]
        found |= {"drain_seconds": round(drained, 1), "seed": self.seed, "exits": exits}
        return found, wrong

    def finish(self, *expected_exits: int, **facts: Any) -> dict[str, Any]:
        """Settle, print one JSON line, and fail where anything is wrong."""
        found, wrong = self.settle(*expected_exits)
        print(json.dumps(found | facts))
        assert wrong == [], (found, self.follower.ahead[:5])
        return found

    def show_logs(self) -> None:
        """Print the ends of the workers' logs, to stand beside a test that failed."""
        for worker in self.workers.all:
            print(f"== {worker.directory.name} {worker.exit_codes}\n{worker.log[-3000:]}")

    def close(self) -> None:
        self.workers.abandon()
        self.fleet.finish(seconds=1)
        self.follower.stop()

    def _last_lines(self) -> str:
        return "; ".join(worker.log[-300:] for worker in self.workers.all)
