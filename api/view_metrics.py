"""What a scrape says about the views: read when it is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from api.view.end_offsets import LagWatch
from api.view.followed_view import ViewState
from api.view.partition_view import PartitionView
from api.view.serving import Serving
from contract.freshness import Ages


def is_running(live: Serving) -> bool:
    """Whether reads are served."""
    return live.view is not None and live.view.state is ViewState.RUNNING


def of_totals(live: Serving, lag: LagWatch, seconds: Mapping[int, float]) -> Iterator[Metric]:
    """Of the totals."""
    view = live.view
    running = int(is_running(live))
    yield _gauge("api_view_running", "1 while reads are served, else 0.", running)
    if view is None:
        return
    yield _gauge("api_view_version", "The view version served.", view.view_version)
    yield _gauge("api_view_devices", "Devices in the view.", view.devices)
    yield _gauge("api_view_transactions", "Transactions applied by the view.", view.transactions)
    freshness = view.freshness_seconds()
    if freshness is not None:
        yield _gauge("api_view_freshness_seconds", "Age of the newest counted reading.", freshness)
    offsets = view.applied_offsets()
    yield _by_partition(
        "api_view_applied_offset", "The applied offset, by partition.", dict(enumerate(offsets))
    )
    records = lag.lag_records(offsets)
    if records is not None:
        yield _gauge("api_view_lag_records", "Records of the log not applied yet.", records)
    text = "Age of the oldest record of the log that is not applied, by partition."
    yield _by_partition("api_view_lag_seconds", text, seconds)
    text = "Readings by their age when readers could see them."
    yield _ages("api_view_publish_to_visible_seconds", text, view.partitions)


def of_series(live: Serving, lag: LagWatch, seconds: Mapping[int, float]) -> Iterator[Metric]:
    """Of places and time: nothing where the version served has none."""
    series = live.series_view
    if series is None:
        return
    running = int(series.state is ViewState.RUNNING)
    yield _gauge("api_series_running", "1 while the series is served, else 0.", running)
    offsets = series.applied_offsets()
    yield _by_partition(
        "api_series_applied_offset",
        "The applied offset of the series, by partition.",
        dict(enumerate(offsets)),
    )
    records = lag.lag_records(offsets)
    if records is not None:
        yield _gauge("api_series_lag_records", "Records of the log not in the series yet.", records)
    text = "Age of the oldest record of the log that is not in the series, by partition."
    yield _by_partition("api_series_lag_seconds", text, seconds)
    text = "Readings by their age when readers could see them in the series."
    yield _ages("api_series_publish_to_visible_seconds", text, series.partitions)
    written = CounterMetricFamily(
        "api_series_rows_written", "Rows of the changelog written into the copy."
    )
    written.add_metric([], series.rows_written)
    yield written
    yield _gauge("api_series_copy_bytes", "The copy on disk.", series.copy.bytes_on_disk())
    books = live.books
    if books.balance is not None:
        text = "1 where totals and series agreed when they were compared last, else 0."
        yield _gauge("api_books_balance", text, int(books.balance))
        text = "Age of the last comparison of all sums."
        yield _gauge("api_books_compared_seconds", text, books.compared_seconds_ago())


def _by_partition(name: str, text: str, numbers: Mapping[int, float]) -> Metric:
    gauge = GaugeMetricFamily(name, text, labels=["partition"])
    for partition, number in sorted(numbers.items()):
        gauge.add_metric([str(partition)], number)
    return gauge


def _ages(name: str, text: str, partitions: Iterable[PartitionView]) -> Metric:
    histogram = HistogramMetricFamily(name, text, labels=["partition"])
    for number, partition in enumerate(partitions):
        ages = partition.ages or Ages()
        histogram.add_metric([str(number)], ages.buckets(), ages.sum_seconds)
    return histogram


def _gauge(name: str, text: str, number: float) -> Metric:
    gauge = GaugeMetricFamily(name, text)
    gauge.add_metric([], number)
    return gauge
