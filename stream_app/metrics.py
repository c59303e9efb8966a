"""Every metric of the worker, with what it counts; one place, documented in docs/METRICS.md."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, Info
from prometheus_client.metrics_core import GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from contract.freshness import Ages
from contract.view import View

Kind = TypeVar("Kind", Counter, Gauge)

BUILD = Info("energy_build", "Version, rules and commit of this process.")
READINGS_FOLDED = Counter(
    "stream_app_readings_folded", "Readings counted in a committed transaction.", ["partition"]
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
TRANSACTIONS = Counter(
    "stream_app_transactions",
    "Commits to Kafka: transactions, and single batches in place of one.",
    ["partition"],
)
SINGLE_BATCHES = Counter(
    "stream_app_single_batches",
    "Commits that took a single batch in place of a transaction.",
    ["partition"],
)
SINGLE_BATCHES_PROVEN = Gauge(
    "stream_app_single_batches_proven",
    "1 where a broker's logs have proven to refuse fenced writers, 0 where they have not.",
    ["broker"],
)
_COMMIT_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 15)
TRANSACTION_SECONDS = Histogram(
    "stream_app_transaction_seconds",
    "From begin to commit, of a transaction or of the single batch in place of one.",
    buckets=_COMMIT_SECONDS,
)
APPLIED_OFFSET = Gauge("stream_app_applied_offset", "Applied offset.", ["partition"])
FENCES = Counter("stream_app_fences", "Times this worker fenced its partitions.")
RECORDS_RECOVERED = Counter(
    "stream_app_records_recovered", "Changelog records read back into the store."
)
STORES_SET_ASIDE = Counter(
    "stream_app_stores_set_aside", "Local stores that were not to be trusted and were rebuilt."
)
PARTITIONS_WAITING = Gauge(
    "stream_app_partition_waiting", "1 while a partition waits for a named reason.", ["partition"]
)
OFFSETS_GIVEN_UP = Counter(
    "stream_app_offsets_given_up",
    "Offsets gone on without, by an operator's `--accept-lost-offsets`.",
    ["partition"],
)
PARTITIONS_SET_ASIDE = Gauge(
    "stream_app_partitions_set_aside",
    "Partitions that this worker has and does not work on: `/ready` says why and what to do.",
    ["reason"],
)
PARTITIONS_TRIED_AGAIN = Counter(
    "stream_app_partitions_tried_again",
    "Times a partition that was set aside was tried again.",
    ["reason"],
)

# Of the views beside the one that writes the quarantine: what that one counts is each record once.
_VIEW_PARTITION = ["view", "partition"]
VIEW_READINGS_FOLDED = Counter(
    "stream_app_view_readings_folded", "As readings_folded, of another view.", ["view", "partition"]
)
VIEW_TRANSACTIONS = Counter(
    "stream_app_view_transactions", "As transactions, of another view.", ["view", "partition"]
)
VIEW_SINGLE_BATCHES = Counter(
    "stream_app_view_single_batches", "As single_batches, of another view.", ["view", "partition"]
)
VIEW_TRANSACTION_SECONDS = Histogram(
    "stream_app_view_transaction_seconds",
    "As transaction_seconds, of another view.",
    ["view"],
    buckets=_COMMIT_SECONDS,
)
VIEW_APPLIED_OFFSET = Gauge(
    "stream_app_view_applied_offset", "Applied offset of another view.", ["view", "partition"]
)
VIEW_PARTITION_WAITING = Gauge(
    "stream_app_view_partition_waiting",
    "1 while a partition of another view waits for a named reason.",
    ["view", "partition"],
)
VIEW_PARTITIONS_SET_ASIDE = Gauge(
    "stream_app_view_partitions_set_aside",
    "As partitions_set_aside, of another view.",
    ["view", "reason"],
)
VIEW_ROWS_ROLLED_UP = Counter(
    "stream_app_view_rows_rolled_up", "Rows added up in `before` and removed.", _VIEW_PARTITION
)
VIEW_CUTOFF_SECONDS = Gauge(
    "stream_app_view_cutoff_seconds", "What is older is in `before`; 0: none.", _VIEW_PARTITION
)


class PublishToCommit(Collector):
    """How old readings were when they were committed, by view and partition."""

    def __init__(self) -> None:
        self._ages: dict[tuple[str | None, int], Ages] = {}

    def of(self, view: str | None, partition: int) -> Ages:
        """Return the histogram of a partition; `view` is None for the one without a label."""
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
            labels = [str(partition)] if view is None else [view, str(partition)]
            family = first if view is None else other
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


class OfView:
    """The metrics of a view: without a label for the one that writes the quarantine."""

    def __init__(self, view: View) -> None:
        self._view = None if view.quarantines else view.name

    @property
    def is_first(self) -> bool:
        """Return whether it counts for all views what is to be counted once."""
        return self._view is None

    def folded(self, partition: int) -> Counter:
        """Return the counter of readings."""
        return self._child(READINGS_FOLDED, VIEW_READINGS_FOLDED, partition)

    def transactions(self, partition: int) -> Counter:
        """Return the counter of commits."""
        return self._child(TRANSACTIONS, VIEW_TRANSACTIONS, partition)

    def single_batches(self, partition: int) -> Counter:
        """Return the counter of commits that took a single batch."""
        return self._child(SINGLE_BATCHES, VIEW_SINGLE_BATCHES, partition)

    def applied_offset(self, partition: int) -> Gauge:
        """Return the gauge of the applied offset."""
        return self._child(APPLIED_OFFSET, VIEW_APPLIED_OFFSET, partition)

    def waiting(self, partition: int) -> Gauge:
        """Return the gauge that says whether the partition waits."""
        return self._child(PARTITIONS_WAITING, VIEW_PARTITION_WAITING, partition)

    def set_aside(self, reason: str) -> Gauge:
        """Return the gauge of partitions that are set aside for a reason."""
        return self._child(PARTITIONS_SET_ASIDE, VIEW_PARTITIONS_SET_ASIDE, reason)

    def transaction_seconds(self) -> Histogram:
        """Return the histogram of what a commit takes."""
        if self._view is None:
            return TRANSACTION_SECONDS
        return VIEW_TRANSACTION_SECONDS.labels(self._view)

    def publish_to_commit(self, partition: int) -> Ages:
        """Return the histogram of ages of what is committed."""
        return PUBLISH_TO_COMMIT.of(self._view, partition)

    def _child(self, first: Kind, other: Kind, label: int | str) -> Kind:
        if self._view is None:
            return first.labels(str(label))
        return other.labels(self._view, str(label))
