"""Every metric of the worker, with what it counts; one place, documented in docs/METRICS.md."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Generic, TypeVar

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, Info
from prometheus_client.metrics_core import GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from contract.freshness import Ages
from contract.view import View

Kind = TypeVar("Kind", Counter, Gauge, Histogram)


class PerView(Generic[Kind]):
    """A metric of the view that writes the quarantine, and the same of the views beside it.

    What the first counts is each record once; it has no label `view`.
    """

    def __init__(
        self,
        kind: Callable[[str, str, list[str]], Kind],
        first: tuple[str, str],
        other: tuple[str, str],
        labels: tuple[str, ...] = ("partition",),
    ) -> None:
        """`first` and `other` are names and help texts."""
        self._first: Kind = kind(*first, [*labels])
        self._other: Kind = kind(*other, ["view", *labels])

    def of(self, view: View, *labels: int | str) -> Kind:
        """Return the metric of a view with these labels."""
        if not view.quarantines:
            return self._other.labels(view.name, *labels)
        return self._first.labels(*labels) if labels else self._first


BUILD = Info("energy_build", "Version, rules and commit of this process.")
READINGS_FOLDED = PerView(
    Counter,
    ("stream_app_readings_folded", "Readings counted in a committed transaction."),
    ("stream_app_view_readings_folded", "As readings_folded, of another view."),
)
RECORDS_QUARANTINED = Counter(
    "stream_app_records_quarantined",
    "Records written to the quarantine in a committed transaction.",
    ["partition"],
)
ODD_TIMES = Counter(
    "stream_app_records_with_odd_times",
    "Records whose CreateTime is no time (before 1973, an hour ahead): seconds or microseconds.",
    ["partition"],
)
CHUNKS_REDELIVERED = Counter(
    "stream_app_chunks_redelivered", "Chunks dropped because all of them was folded already."
)
CHUNKS_STRADDLING = Counter(
    "stream_app_chunks_straddling", "Chunks of which a part was folded already and cut off."
)
CHUNKS_STALE = Counter(
    "stream_app_chunks_stale", "Chunks dropped because they were fetched before a rebalance."
)
RESEEKS = Counter("stream_app_reseeks", "Seeks back to what comes next.", ["partition"])
TRANSACTIONS = PerView(
    Counter,
    (
        "stream_app_transactions",
        "Commits to Kafka: transactions, and single batches in place of one.",
    ),
    ("stream_app_view_transactions", "As transactions, of another view."),
)
SINGLE_BATCHES = PerView(
    Counter,
    ("stream_app_single_batches", "Commits that took a single batch in place of a transaction."),
    ("stream_app_view_single_batches", "As single_batches, of another view."),
)
SINGLE_BATCHES_PROVEN = Gauge(
    "stream_app_single_batches_proven",
    "1 where a broker's logs have proven to refuse fenced writers, 0 where they have not.",
    ["broker"],
)
_COMMIT_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 15)
TRANSACTION_SECONDS = PerView(
    partial(Histogram, buckets=_COMMIT_SECONDS),
    (
        "stream_app_transaction_seconds",
        "From begin to commit, of a transaction or of the single batch in place of one.",
    ),
    ("stream_app_view_transaction_seconds", "As transaction_seconds, of another view."),
    labels=(),
)
APPLIED_OFFSET = PerView(
    Gauge,
    ("stream_app_applied_offset", "Applied offset."),
    ("stream_app_view_applied_offset", "Applied offset of another view."),
)
FENCES = Counter("stream_app_fences", "Times this worker fenced its partitions.")
RECORDS_RECOVERED = Counter(
    "stream_app_records_recovered", "Changelog records read back into the store."
)
STORES_SET_ASIDE = Counter(
    "stream_app_stores_set_aside", "Local stores that were not to be trusted and were rebuilt."
)
PARTITION_WAITING = PerView(
    Gauge,
    ("stream_app_partition_waiting", "1 while a partition waits for a named reason."),
    (
        "stream_app_view_partition_waiting",
        "1 while a partition of another view waits for a named reason.",
    ),
)
OFFSETS_GIVEN_UP = Counter(
    "stream_app_offsets_given_up",
    "Offsets gone on without, by an operator's `--accept-lost-offsets`.",
    ["partition"],
)
PARTITIONS_SET_ASIDE = PerView(
    Gauge,
    (
        "stream_app_partitions_set_aside",
        "Partitions that this worker has and does not work on: `/ready` says why and what to do.",
    ),
    ("stream_app_view_partitions_set_aside", "As partitions_set_aside, of another view."),
    labels=("reason",),
)
PARTITIONS_TRIED_AGAIN = Counter(
    "stream_app_partitions_tried_again",
    "Times a partition that was set aside was tried again.",
    ["reason"],
)

# Of the views that roll up, which are beside the first.
_VIEW_PARTITION = ["view", "partition"]
VIEW_ROWS_ROLLED_UP = Counter(
    "stream_app_view_rows_rolled_up", "Rows added up in `before` and removed.", _VIEW_PARTITION
)
VIEW_CUTOFF_SECONDS = Gauge(
    "stream_app_view_cutoff_seconds", "What is older is in `before`; 0: none.", _VIEW_PARTITION
)


class PublishToCommit(Collector):
    """How old readings were when they were committed, by view and partition."""

    def __init__(self) -> None:
        self._ages: dict[tuple[View, int], Ages] = {}

    def of(self, view: View, partition: int) -> Ages:
        """Return the histogram of a partition."""
        return self._ages.setdefault((view, partition), Ages())

    def collect(self) -> Iterator[Metric]:
        """Return what is counted."""
        text = "Readings by their age when they were committed."
        first = HistogramMetricFamily(
            "stream_app_publish_to_commit_seconds", text, labels=["partition"]
        )
        other = HistogramMetricFamily(
            "stream_app_view_publish_to_commit_seconds",
            "As publish_to_commit_seconds, of another view.",
            labels=["view", "partition"],
        )
        for (view, partition), ages in list(self._ages.items()):
            labels = [str(partition)] if view.quarantines else [view.name, str(partition)]
            family = first if view.quarantines else other
            family.add_metric(labels, ages.buckets(), ages.sum_seconds)
        yield from (first, other)


PUBLISH_TO_COMMIT = PublishToCommit()
REGISTRY.register(PUBLISH_TO_COMMIT)


class LagSeconds(Collector):
    """The age of the oldest record that is not committed, made when somebody asks."""

    def __init__(self) -> None:
        self._seconds: Callable[[], Mapping[View, Mapping[int, float]]] = dict

    def show(self, seconds: Callable[[], Mapping[View, Mapping[int, float]]]) -> None:
        """Show these from now on, by view and partition; called in any thread."""
        self._seconds = seconds

    def collect(self) -> Iterator[Metric]:
        """Return what it is now."""
        text = "Age of the oldest record of the log that is not committed."
        first = GaugeMetricFamily("stream_app_lag_seconds", text, labels=["partition"])
        other = GaugeMetricFamily(
            "stream_app_view_lag_seconds",
            "As lag_seconds, of another view.",
            labels=["view", "partition"],
        )
        for view, found in self._seconds().items():
            for partition, seconds in sorted(found.items()):
                if view.quarantines:
                    first.add_metric([str(partition)], seconds)
                else:
                    other.add_metric([view.name, str(partition)], seconds)
        yield from (first, other)


LAG = LagSeconds()
REGISTRY.register(LAG)
