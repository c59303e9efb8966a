"""A change of `energy_views` is seen by readers when its command ends; others may go on writing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from contract.view_versions import Views
from kafka_io.errors import ClusterRefused
from operations.views import writer as views_writer
from operations.views.writer import Change, NewRecord, change_views

TABLE = "energy-v1-device_totals-changelog"


class Delivered:
    """A record of ours, as Kafka acknowledged it."""

    def __init__(self, topic: str, partition: int, offset: int) -> None:
        self._place = topic, partition, offset

    def topic(self) -> str:
        return self._place[0]

    def partition(self) -> int:
        return self._place[1]

    def offset(self) -> int:
        return self._place[2]


class BusyCluster:
    """Workers commit to its changelog all the time: no two questions have one answer.

    `hidden` partitions never show more than what was there before us.
    """

    deadline_seconds = 0.2
    settings = None

    def __init__(self, hidden: Iterable[int] = ()) -> None:
        self.end = 1_000
        self.questions = 0
        self._hidden = set(hidden)

    def committed_ends(self, places: Iterable[tuple[str, int]]) -> dict[tuple[str, int], int]:
        self.questions += 1
        self.end += 7
        return {place: 1_000 if place[1] in self._hidden else self.end - 3 for place in places}


class FakeProducer:
    """Acknowledges each record at the end there is, at the commit."""

    def __init__(self, cluster: BusyCluster) -> None:
        self._cluster = cluster
        self._calls: list[Callable[[], None]] = []

    def begin_transaction(self) -> None:
        """Nothing to do."""

    def produce(
        self, topic: str, value: bytes, key: bytes, partition: int, on_delivery: Any
    ) -> None:
        self._cluster.end += 1
        at = Delivered(topic, partition, self._cluster.end)
        self._calls.append(lambda: on_delivery(None, at))

    def commit_transaction(self, seconds: float) -> None:
        for call in self._calls:
            call()


def grow(cluster: BusyCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views_writer, "fence", lambda cluster, name: FakeProducer(cluster))
    monkeypatch.setattr(views_writer, "read_views", lambda settings: Views())
    records = [NewRecord(TABLE, p, b"k", b"v") for p in (4, 5)]
    change = Change(lambda views: False, lambda views: records)
    _, written = change_views(cluster, change)  # type: ignore[arg-type]
    assert written


def test_ops_b2_a_change_is_done_though_workers_go_on_committing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = BusyCluster()
    grow(cluster, monkeypatch)
    assert cluster.questions < 5


def test_ops_b2_an_open_transaction_before_ours_is_told_with_its_partition(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(ClusterRefused, match=rf"written to {TABLE}, partition 5"):
        grow(BusyCluster(hidden=[5]), monkeypatch)
