"""A worker fills empty stores before it takes partitions from others; never otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from aiokafka.errors import KafkaConnectionError

from kafka_io.cluster import Cluster
from stream_app.changelog.prefill import has_to_warm_up, warm_up
from stream_app.changelog.recovery import ChangelogRecovery
from stream_app.errors import Refusal


class FakeCluster:
    """Knows who is in which group."""

    def __init__(self, **groups: list[str]) -> None:
        self._groups = groups

    def members(self, group: str) -> list[str]:
        return self._groups.get(group.replace("-", "_"), [])


class FakeRecovery:
    """Notes what it is asked for, and fails if it is told to."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.asked: list[int] = []
        self._failure = failure

    async def recover(self, partitions: list[int]) -> dict[int, Any]:
        self.asked += partitions
        if self._failure is not None:
            raise self._failure
        return {}


def test_only_where_others_work_and_nothing_is_there(tmp_path: Path) -> None:
    working = cast(Cluster, FakeCluster(energy_v2=["worker-1@host"]))
    assert has_to_warm_up(tmp_path, working, 2)
    assert not has_to_warm_up(tmp_path, cast(Cluster, FakeCluster()), 2)
    assert not has_to_warm_up(tmp_path, cast(Cluster, FakeCluster(energy_v1=["w@h"])), 2)
    (tmp_path / "v1" / "tables" / "device_totals-0.db").mkdir(parents=True)
    assert not has_to_warm_up(tmp_path, working, 2)


@pytest.mark.parametrize("failure", [None, KafkaConnectionError("away")])
def test_all_stores_are_read_and_closed_also_when_kafka_goes_away(
    failure: Exception | None,
) -> None:
    recovery, closed = FakeRecovery(failure), list[int]()
    warm_up(cast(ChangelogRecovery, recovery), 3, closed.append)
    assert recovery.asked == closed == [0, 1, 2]


def test_what_needs_a_person_is_not_passed_over() -> None:
    recovery = cast(ChangelogRecovery, FakeRecovery(Refusal("no birth record")))
    with pytest.raises(Refusal, match="no birth record"):
        warm_up(recovery, 3, lambda partition: None)
