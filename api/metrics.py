"""The metrics of the HTTP server, each explained by its help text.

Counted as things happen: requests, rows. Read when asked for: what the view says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    Info,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from api.http.allowance import Budget
from api.view.end_offsets import LagWatch
from api.view.followed_view import ViewState
from api.view.live_version import LiveView
from contract import build

# A second line for each number, with the time it was begun, is read by nobody.
disable_created_metrics()  # type: ignore[no-untyped-call]

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """The metrics of one server."""

    def __init__(self) -> None:
        """Begin at zero, in a registry of their own."""
        self.registry = CollectorRegistry()
        Info(
            "energy_build", "Version, rules and commit of this process.", registry=self.registry
        ).info(build.labels())
        self.requests = Counter(
            "api_requests",
            "Requests answered, by route and status.",
            ("route", "status"),
            registry=self.registry,
        )
        self.request_seconds = Histogram(
            "api_request_seconds",
            "Seconds from the head of a request to the end of its answer, by route.",
            ("route",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.rows = Counter(
            "api_rows",
            "Rows received, by what became of them: successful, quarantined, unknown.",
            ("outcome",),
            registry=self.registry,
        )
        self.producers_replaced = Counter(
            "api_producers_replaced",
            "Times Kafka did not acknowledge in time: all rows under way were given up, and the"
            " client with them.",
            registry=self.registry,
        )
        self.producers_not_made = Counter(
            "api_producers_not_made",
            "Times a client of Kafka could not be made in place of one that was given up: no row"
            " is taken until it can.",
            registry=self.registry,
        )
        self.unreadable_notes = Counter(
            "api_unreadable_notes",
            "Records of Idempotency-Keys in energy_imports that we did not write; the log has"
            " each.",
            registry=self.registry,
        )
        self.refused_connections = Counter(
            "api_refused_connections",
            "Connections closed before a request came to a route, by reason.",
            ("reason",),
            registry=self.registry,
        )
        self.unexpected_errors = Counter(
            "api_unexpected_errors",
            "Requests that failed for a reason nobody foresaw; the log has each.",
            registry=self.registry,
        )

    def watch(self, live: LiveView, lag: LagWatch, budgets: tuple[Budget, Budget, Budget]) -> None:
        """Show what these say at the moment somebody asks."""
        self.registry.register(_Watched(lambda: _watched(live, lag, *budgets)))

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self.registry)


class _Watched(Collector):
    def __init__(self, collect: Callable[[], Iterator[Metric]]) -> None:
        self._collect = collect

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        return self._collect()


def _watched(
    live: LiveView, lag: LagWatch, bodies: Budget, spool: Budget, answers: Budget
) -> Iterator[Metric]:
    yield _gauge("api_bodies_bytes", "Bytes of bodies in flight.", bodies.taken)
    yield _gauge("api_uploads_bytes", "Bytes of files in flight, on disk.", spool.taken)
    yield _gauge("api_answers_bytes", "Bytes of long answers that are being read.", answers.taken)
    view = live.view
    is_running = view is not None and view.state is ViewState.RUNNING
    yield _gauge("api_view_running", "1 while reads are served, else 0.", int(is_running))
    if view is None:
        return
    yield _gauge("api_view_version", "The view version served.", view.view_version)
    yield _gauge("api_view_devices", "Devices in the view.", view.devices)
    yield _gauge("api_view_transactions", "Transactions applied by the view.", view.transactions)
    freshness = view.freshness_seconds()
    if freshness is not None:
        yield _gauge("api_view_freshness_seconds", "Age of the newest counted reading.", freshness)
    offsets = view.applied_offsets()
    applied = GaugeMetricFamily(
        "api_view_applied_offset", "The applied offset, by partition.", labels=["partition"]
    )
    for partition, offset in enumerate(offsets):
        applied.add_metric([str(partition)], offset)
    yield applied
    records = lag.lag_records(offsets)
    if records is not None:
        yield _gauge("api_view_lag_records", "Records of the log not applied yet.", records)


def _gauge(name: str, text: str, number: float) -> Metric:
    gauge = GaugeMetricFamily(name, text)
    gauge.add_metric([], number)
    return gauge
