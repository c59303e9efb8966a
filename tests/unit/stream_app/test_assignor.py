"""A topic that the broker does not know for a moment must not leave everybody without work."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from faust.assignor.partition_assignor import PartitionAssignor

from stream_app.errors import RestartNeeded
from stream_app.faust_adapter import assignor
from stream_app.faust_adapter.assignor import KnownPartitions, KnownTopicsAssignor

MEMBERS = {
    "one": SimpleNamespace(subscription=["changelog", "readings"]),
    "two": SimpleNamespace(subscription=["readings"]),
}


class Ended(Exception):
    """The process is gone."""


def assign(monkeypatch: pytest.MonkeyPatch, known: dict[str, set[int] | None]) -> list[Any]:
    """What Faust was asked to share out; `Ended` holds what the process ended with."""

    def end(where: str, error: BaseException) -> None:
        raise Ended(where, error)

    asked: list[Any] = []
    monkeypatch.setattr(assignor, "end_process", end)
    monkeypatch.setattr(PartitionAssignor, "assign", lambda _, *arguments: asked.append(arguments))
    cluster = SimpleNamespace(partitions_for_topic=known.get)
    made: Any = object.__new__(KnownTopicsAssignor)
    made.app = SimpleNamespace(conf=SimpleNamespace(topic_partitions=2))
    made.assign(cluster, MEMBERS)
    ((shared_out, members),) = asked
    assert shared_out.partitions_for_topic("readings") == known["readings"]
    assert members == MEMBERS
    return asked


def test_topics_that_are_known_are_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    assert assign(monkeypatch, {"readings": {0, 1}, "changelog": {0, 1}})


@pytest.mark.parametrize("readings", [None, set()])
def test_a_topic_that_is_not_known_yet_ends_the_leader(
    monkeypatch: pytest.MonkeyPatch, readings: set[int] | None
) -> None:
    with pytest.raises(Ended) as ended:
        assign(monkeypatch, {"readings": readings, "changelog": {0, 1}})
    _, error = ended.value.args
    assert isinstance(error, RestartNeeded)
    assert str(error) == "the broker does not know readings yet, nobody would get it"


def test_c19_partitions_in_which_the_view_was_not_born_are_not_shared_out() -> None:
    found: Any = SimpleNamespace(partitions_for_topic={"readings": {0, 1, 2, 3}}.get, brokers="b")
    known = KnownPartitions(found, 2)
    assert known.partitions_for_topic("readings") == {0, 1}
    assert known.partitions_for_topic("unknown") is None
    assert known.brokers == "b"
