"""The metrics of the HTTP server, each explained by its help text.

Counted as things happen: requests, rows. Read when asked for: what the view says. Where the
server has several processes, a scrape of one has the counts and gauges of all (shared_metrics.py),
and what it says about the view is the same in each.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.metrics_core import (
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from api.http.allowance import Budget
from api.shared_metrics import numbers_of_all
from api.view.end_offsets import LagWatch
from api.view.serving import Serving
from api.view_metrics import is_running, of_series, of_totals
from contract import build
from kafka_io.lag_seconds import LagSeconds

# A second line for each number, with the time it was begun, is read by nobody.
disable_created_metrics()  # type: ignore[no-untyped-call]

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


#: How old what one process says about itself may be in a scrape of another.
NOTED_SECONDS = 0.25


class Metrics:
    """The metrics of one server."""

    def __init__(self, shared: Path | None = None, process: str = "") -> None:
        """Begin at zero, in a registry of their own; `shared`: with those of other processes."""
        self.registry = CollectorRegistry()
        self._shared = shared
        self._budgets: tuple[Budget, ...] = ()
        # Memory, processor time, open files: as a worker's default registry has them. Of several
        # processes those of their parent, whichever answers.
        pid = os.getpid if shared is None else os.getppid
        self._process = ProcessCollector(pid=pid, registry=None)
        self._requests = self._counter(
            "api_requests", "Requests answered, by route and status.", ("route", "status")
        )
        self._request_seconds = Histogram(
            "api_request_seconds",
            "Seconds from the head of a request to the end of its answer, by route.",
            ("route",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        # Labels are looked up once: that takes as long as a third of a look-up of a device.
        self._of_route = cache(
            lambda route, status: (
                self._requests.labels(route, status),
                self._request_seconds.labels(route),
            )
        )
        self.rows = self._counter(
            "api_rows",
            "Rows received, by what became of them: successful, quarantined, unknown.",
            ("outcome",),
        )
        self._fates = [self.rows.labels(fate) for fate in ("successful", "quarantined", "unknown")]
        self.producers_replaced = self._counter(
            "api_producers_replaced",
            "Times Kafka did not acknowledge in time: all rows under way were given up, and the"
            " client with them.",
        )
        self.producers_not_made = self._counter(
            "api_producers_not_made",
            "Times a client of Kafka could not be made in place of one that was given up: no row"
            " is taken until it can.",
        )
        self.unreadable_notes = self._counter(
            "api_unreadable_notes",
            "Records of Idempotency-Keys in energy_imports that we did not write; the log has"
            " each.",
        )
        self.refused_connections = self._counter(
            "api_refused_connections",
            "Connections closed before a request came to a route, by reason.",
            ("reason",),
        )
        self.streams = self._gauge("api_streams", "Live streams that are open.")
        self._bodies = self._gauge("api_bodies_bytes", "Bytes of bodies in flight.")
        self._uploads = self._gauge("api_uploads_bytes", "Bytes of files in flight, on disk.")
        self._answers = self._gauge(
            "api_answers_bytes", "Bytes of long answers that are being read."
        )
        if shared is not None:
            self._serving = self._gauge(
                "api_process_serving",
                "1 while an HTTP process serves reads, else 0; absent while it is away.",
                ("process",),
            ).labels(process)
        self.stream_events = self._counter(
            "api_stream_events",
            "Events sent to live streams: snapshot, change, progress.",
            ("event",),
        )
        self.stream_changes_coalesced = self._counter(
            "api_stream_changes_coalesced",
            "Changes of a row that a stream was not sent, because a newer one took their place.",
        )
        self.unexpected_errors = self._counter(
            "api_unexpected_errors",
            "Requests that failed for a reason nobody foresaw; the log has each.",
        )

    def _counter(self, name: str, text: str, labels: tuple[str, ...] = ()) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, labels: tuple[str, ...] = ()) -> Gauge:
        """Make a gauge that is the sum over all processes."""
        return Gauge(name, text, labels, registry=self.registry, multiprocess_mode="livesum")

    def count_rows(self, successful: int, quarantined: int, unknown: int) -> None:
        """Count the rows of a body or file by what became of them."""
        for counter, count in zip(self._fates, (successful, quarantined, unknown), strict=True):
            counter.inc(count)

    def watch(
        self,
        live: Serving,
        lag: LagWatch,
        waiting: LagSeconds[str],
        budgets: tuple[Budget, Budget, Budget],
    ) -> None:
        """Show what these say at the moment somebody asks."""
        self._live, self._budgets = live, budgets

        def watched() -> Iterator[Metric]:
            told = InfoMetricFamily("energy_build", "Version, rules and commit of this process.")
            told.add_metric([], build.labels())
            yield told
            yield from self._process.collect()
            seconds = waiting.seconds()
            yield from of_totals(live, lag, seconds.get("totals", {}))
            yield from of_series(live, lag, seconds.get("series", {}))

        self._watched = _Watched(watched)
        if self._shared is None:
            self.registry.register(self._watched)

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count a request, answered after so long; `status` 0: not at all."""
        count, took = self._of_route(route, status)
        count.inc()
        took.observe(seconds)

    def note(self) -> None:
        """Say what this process holds now."""
        gauges = (self._bodies, self._uploads, self._answers)
        for gauge, budget in zip(gauges, self._budgets, strict=False):
            gauge.set(budget.taken)
        if self._shared is not None:
            self._serving.set(int(is_running(self._live)))

    async def keep_noted(self) -> None:
        """Say it to other processes, until cancelled."""
        while True:
            self.note()
            await asyncio.sleep(NOTED_SECONDS)

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        self.note()
        if self._shared is None:
            return generate_latest(self.registry)
        registry = numbers_of_all(self._shared)
        registry.register(self._watched)
        return generate_latest(registry)


class _Watched(Collector):
    def __init__(self, collect: Callable[[], Iterator[Metric]]) -> None:
        self._collect = collect

    def collect(self) -> Iterator[Metric]:
        return self._collect()
