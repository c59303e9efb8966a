"""Nothing we print or do deletes a changelog whose readings are not all in the log, unasked."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from cli import app as cli
from cli.commands import replay as command
from contract.changelog import Birth, Marker
from contract.device_totals import DEVICE_TOTALS
from contract.topics import READINGS, VIEWS
from contract.view_versions import Views, ViewState, ViewVersion
from contract.views import rules_with
from kafka_io.cluster import TopicOnBroker
from kafka_io.errors import NoBroker
from operations.errors import Refused
from operations.replay import drop as removal
from operations.replay import promotion as gate
from operations.settings import TopicSettings
from operations.topics import declared as topics
from operations.views import adoption
from operations.views import birth as births

Captured = pytest.CaptureFixture[str]


def born(start: int, log: str = "log") -> Birth:
    return Birth("C", READINGS.name, log, "table", start, rules_with("off"))


class FakeCluster:
    """Has the readings log, and changelogs that begin with these births; counts deletions."""

    settings: Any = TopicSettings.load({})

    def __init__(
        self, births: Mapping[int, list[Birth]], first: list[int], used: Mapping[int, bool] = {}
    ) -> None:
        self.births = dict(births)
        self.first = first
        self.used = dict.fromkeys(births, True) | dict(used)
        self.deleted: list[str] = []
        self.log_id: str | None = "log"

    def brokers(self) -> int:
        return 1

    def topic_names(self) -> set[str]:
        names = {DEVICE_TOTALS.changelog(number).name for number in self.used} | {
            "energy-vx",
            "energy-v1-store",
        }
        return names | ({READINGS.name} if self.log_id else set())

    def topics(self, names: list[str]) -> dict[str, TopicOnBroker]:
        ids = {name: self.log_id if name == READINGS.name else "table" for name in names}
        there = [name for name in names if name in self.topic_names()]
        return {n: TopicOnBroker(n, str(ids[n]), len(self.first), 1) for n in there}

    def first_offsets(self, name: str, partitions: int) -> list[int]:
        return self.first

    def delete_topics(self, names: list[str]) -> None:
        self.deleted += names


@pytest.fixture
def cluster_factory(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """A cluster that is read through the functions of the log reader."""

    @contextmanager
    def reader(settings: object) -> Iterator[None]:
        yield

    def create(*arguments: Any, **options: Any) -> FakeCluster:
        made = FakeCluster(*arguments, **options)

        def read_births(_: object, view: object, number: int, partitions: int) -> dict[int, Birth]:
            return dict(enumerate(made.births.get(number, [])))

        def read_markers(
            _: object, view: object, number: int, partitions: int
        ) -> dict[int, Marker]:
            return {p: Marker(10 * number + p) for p, _ in enumerate(made.births.get(number, []))}

        def read_to_end(consumer: object, name: str, starts: object) -> Iterator[str]:
            if made.used[adoption.version_of(name) or 0]:
                yield "a record"

        for module in (adoption, removal):
            monkeypatch.setattr(module, "read_births", read_births)
        monkeypatch.setattr(adoption, "read_markers", read_markers)
        monkeypatch.setattr(adoption, "read_to_end", read_to_end)
        monkeypatch.setattr(adoption, "reader", reader)
        return made

    return create


def test_a_changelog_tells_its_version() -> None:
    assert adoption.version_of("energy-v12-device_totals-changelog") == 12
    for other in ("energy-v-device_totals-changelog", "energy-v0-device_totals-changelog", "a"):
        assert adoption.version_of(other) is None


# --- B6: energy_views is lost


def test_ops_b6_totals_that_the_views_have_lost_are_kept_and_can_be_taken_up(
    cluster_factory: Callable[..., Any],
) -> None:
    cluster = cluster_factory({1: [born(0)] * 2, 3: [born(0)] * 2}, [0, 0], {2: False})
    with pytest.raises(Refused) as told:
        adoption.refuse_unknown(cluster, Views())
    text = str(told.value)
    assert told.value.exit_code == 3
    assert "energy-v1-device_totals-changelog (counted up to partition:offset 0:10,1:11)" in text
    assert "energy-v3-device_totals-changelog (counted up to partition:offset 0:30,1:31)" in text
    assert text.endswith("energy topics create --adopt 3")
    assert "keep these topics" in text
    assert "delete" not in text
    assert "only in there" not in text, "the log has all"


def test_ops_b6_a_version_that_was_still_being_built_is_not_proposed(
    cluster_factory: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = cluster_factory({1: [born(0)] * 2, 2: [born(0)] * 2, 3: [born(0)] * 2}, [0, 0])
    far = {1: Marker(9), 2: Marker(9), 3: Marker(8)}
    monkeypatch.setattr(adoption, "read_markers", lambda _, view, number, __: {0: far[number]})
    with pytest.raises(Refused, match=r"--adopt 2$"):
        adoption.refuse_unknown(cluster, Views())


def test_ops_b6_where_the_head_of_the_log_is_gone_it_says_what_only_the_totals_have(
    cluster_factory: Callable[..., Any],
) -> None:
    cluster = cluster_factory({1: [born(0)] * 2}, [15, 0])
    with pytest.raises(Refused, match=r"offsets 0:0-14, they are only in there"):
        adoption.refuse_unknown(cluster, Views())
    cluster.log_id = None
    with pytest.raises(Refused, match=r"energy_consumption is gone, so they are all that is left"):
        adoption.refuse_unknown(cluster, Views())


def test_ops_b6_an_empty_cluster_and_a_killed_start_begin_as_ever(
    cluster_factory: Callable[..., Any],
) -> None:
    adoption.refuse_unknown(cluster_factory({}, [0, 0]), Views())
    adoption.refuse_unknown(cluster_factory({}, [0, 0], {1: False}), Views())
    known = Views(1, {1: version(1, "live")})
    adoption.refuse_unknown(cluster_factory({1: [born(0)]}, [0]), known)


def test_ops_b6_nothing_is_made_beside_lost_totals(cluster_factory: Callable[..., Any]) -> None:
    """Not even the topics that are missing."""
    cluster = cluster_factory({1: [born(0)] * 2}, [0, 0])
    with pytest.raises(Refused, match="--adopt 1"):
        topics.create(cluster, TopicSettings.load({}))


def test_ops_b6_readings_that_are_gone_do_not_cost_their_totals_too() -> None:
    missing = topics.declared_topics(TopicSettings.load({}), 1)[:1]
    assert missing[0].name == READINGS.name
    with pytest.raises(Refused, match="has all that is left of its readings") as told:
        topics._refuse_to_replace(missing, version(1, "live"))
    assert "delete" not in str(told.value)


@pytest.mark.parametrize("lacking", [0, 1])
def test_ops_b6_a_version_that_is_not_whole_is_not_taken_up(
    lacking: int, cluster_factory: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = cluster_factory({1: [born(0)] * 2}, [0, 0])
    whole = adoption._parts(cluster, DEVICE_TOTALS, 1)
    assert adoption.check_whole(cluster, 1) == ViewVersion(1, "live", 2, rules_with("off"))
    del whole[lacking][1]
    monkeypatch.setattr(adoption, "_parts", lambda *_: whole)
    with pytest.raises(Refused, match="no birth or no marker in partition 1: it is incomplete"):
        adoption.check_whole(cluster, 1)


def test_ops_b6_only_one_version_is_live(
    cluster_factory: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = cluster_factory({1: [born(0)] * 2}, [0, 0])
    written: list[Any] = []

    def change_views(cluster: object, change: Any) -> tuple[Views, bool]:
        views = Views()
        assert not change.is_done(views)
        for record in change.records(views):
            written.append(record)
            views.apply(record.key, record.value)
        return views, True

    monkeypatch.setattr(adoption, "change_views", change_views)
    adoption.adopt(cluster, 1)
    assert [(record.topic, record.key) for record in written] == [
        (VIEWS.name, b"version/1"),
        (VIEWS.name, b"live"),
    ]
    monkeypatch.setattr(adoption, "change_views", lambda *_: (Views(2), False))
    with pytest.raises(Refused, match="view version 2 is live"):
        adoption.adopt(cluster, 1)


def test_ops_b6_a_lost_number_is_never_used_again(cluster_factory: Callable[..., Any]) -> None:
    cluster = cluster_factory({1: [born(0)], 4: [born(0)]}, [0], {6: False})
    assert adoption.next_number(cluster, Views(1, {1: version(1, "live")})) == 5


def test_ops_b6_a_birth_never_tells_to_delete(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def reader(settings: object) -> Iterator[None]:
        yield

    class Record:
        partition = 0

    monkeypatch.setattr(births, "reader", reader)
    monkeypatch.setattr(births, "read_to_end", lambda *_: iter([Record]))
    cluster: Any = FakeCluster({}, [0])
    with pytest.raises(Refused, match="keep the topic") as told:
        births._refuse_used_changelog(
            cluster, births.ViewBirth(version(1, "live"), {DEVICE_TOTALS: [born(0)]})
        )
    assert "delete" not in str(told.value)


# --- B10, B11: what is dropped


def version(number: int, state: ViewState, partitions: int = 1) -> ViewVersion:
    return ViewVersion(number, state, partitions, rules_with("off"))


@pytest.mark.parametrize(
    ("own", "other", "first", "lost"),
    [
        ([born(0)], [born(0)], [0], ""),
        ([born(0)], [born(0)], [15], ""),  # both counted them before they expired
        ([born(0)], [born(15)], [0], ""),  # the log has them still
        ([born(0)], [born(15)], [15], "0:0-14"),
        ([born(5)], [born(15)], [9], "0:5-8"),
        ([born(5)], [born(7)], [9], "0:5-6"),
        ([born(9)], [born(15)], [9], ""),
        ([born(0)], [], [0], ""),
        ([born(0)], [], [15], "0:0-14"),
        ([born(0), born(3)], [born(0), born(9)], [0, 9], "1:3-8"),
        ([born(0, "gone")], [born(0)], [0], "0:0-"),
        ([born(0, "gone")], [born(4, "gone")], [0], "0:0-3"),
        ([born(0, "gone")], [born(0, "gone")], [0], ""),
    ],
)
def test_ops_b11_what_only_one_version_counts_is_known_before_it_is_dropped(
    own: list[Birth],
    other: list[Birth],
    first: list[int],
    lost: str,
    cluster_factory: Callable[..., Any],
) -> None:
    cluster = cluster_factory({1: own, 2: other}, first)
    found = removal.counted_only_by(cluster, version(1, "previous"), version(2, "live"))
    assert found == lost


def test_ops_b11_without_a_changelog_or_a_log_it_is_plain(
    cluster_factory: Callable[..., Any],
) -> None:
    cluster = cluster_factory({2: [born(0)]}, [0])
    assert removal.counted_only_by(cluster, version(1, "previous"), version(2, "live")) == ""
    cluster = cluster_factory({1: [born(0)], 2: [born(9)]}, [0])
    cluster.log_id = None
    lost = removal.counted_only_by(cluster, version(1, "previous"), version(2, "live"))
    assert lost == "0:0-8"


@pytest.mark.parametrize(
    ("first", "dropped", "kept"), [([0], [1, 2], []), ([9], [2], [1])], ids=["whole", "partial"]
)
def test_ops_b10_a_fenced_attempt_drops_nothing_twice_and_the_only_copy_never(
    first: list[int],
    dropped: list[int],
    kept: list[int],
    cluster_factory: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = cluster_factory({1: [born(0)], 2: [born(9)], 3: [born(9)], 4: [born(9)]}, first)
    states: list[ViewState] = ["previous", "previous", "live", "building"]
    views = Views(3, {n: version(n, state) for n, state in enumerate(states, 1)})

    def change_views(cluster: object, change: Any) -> tuple[Views, bool]:
        assert not change.is_done(views)
        first = change.records(views)
        assert change.records(views) == first, "again, as after a fence"
        return views, True

    monkeypatch.setattr(gate, "read_views", lambda settings: views)
    monkeypatch.setattr(gate, "behind", lambda *_: [])
    monkeypatch.setattr(gate, "change_views", change_views)
    assert gate.promote(cluster, 3, 4, 0) == gate.Promoted(4, 3, True, dropped, kept)


@pytest.fixture
def aborting(
    cluster_factory: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., tuple[int, Any]]:
    """`aborting(views, cluster, *arguments)`: run a command of `energy replay`."""

    def run(views: Views, cluster: Any, *arguments: str) -> int:
        def drop(cluster: Any, home: Path, number: int, on_progress: object) -> None:
            cluster.delete_topics([DEVICE_TOTALS.changelog(number).name])

        monkeypatch.setattr(command, "connect", lambda context: (cluster, tmp_path))
        monkeypatch.setattr(topics, "live_views", lambda cluster: (views, views.live))
        monkeypatch.setattr(removal, "drop", drop)
        return cli.run(["replay", *arguments], {})

    return run


LIVE = Views(1, {1: version(1, "live")})


def test_ops_b11_abort_deletes_what_is_empty_and_says_so(
    aborting: Callable[..., int], cluster_factory: Callable[..., Any], capsys: Captured
) -> None:
    cluster = cluster_factory({1: [born(0)]}, [0], {2: False})
    assert aborting(LIVE, cluster, "abort") == 0
    assert cluster.deleted == [DEVICE_TOTALS.changelog(2).name]
    assert capsys.readouterr().out == f"dropped: {DEVICE_TOTALS.changelog(2).name} (empty)\n"
    cluster = cluster_factory({1: [born(0)]}, [0])
    assert aborting(LIVE, cluster, "abort") == 0
    assert capsys.readouterr().out == "nothing is being built; nothing was done\n"


def test_ops_b11_abort_keeps_totals_that_the_views_have_lost(
    aborting: Callable[..., int],
    cluster_factory: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: Captured,
) -> None:
    cluster = cluster_factory({1: [born(0)], 2: [born(0)]}, [0])
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert aborting(LIVE, cluster, "abort") == 3
    assert capsys.readouterr().out == (
        f"kept: {DEVICE_TOTALS.changelog(2).name} holds records that belong to no known view"
        " version; --yes deletes it\n"
    )
    assert cluster.deleted == []
    assert aborting(LIVE, cluster, "abort", "--yes") == 0
    assert cluster.deleted == [DEVICE_TOTALS.changelog(2).name]


@pytest.mark.parametrize(
    ("answer", "deleted"), [("y", [DEVICE_TOTALS.changelog(1).name]), ("n", []), ("", [])]
)
def test_ops_b11_a_person_is_asked_before_the_only_copy_goes(
    answer: str,
    deleted: list[str],
    aborting: Callable[..., int],
    cluster_factory: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: Captured,
) -> None:
    asked: list[str] = []

    def confirm(text: str) -> bool:
        asked.append(text)
        return answer == "y"

    class Terminal:
        def isatty(self) -> bool:
            return True

    cluster = cluster_factory({1: [born(0)], 2: [born(15)]}, [15])
    monkeypatch.setattr(command.typer, "confirm", confirm)
    monkeypatch.setattr(sys, "stdin", Terminal())
    views = Views(2, {1: version(1, "previous"), 2: version(2, "live")})
    assert aborting(views, cluster, "drop-old") == (0 if deleted else 3)
    assert len(asked) == 1
    assert "view version 1 alone counts the readings at partition:offsets 0:0-14" in asked[0]
    assert cluster.deleted == deleted


def test_ops_b11_a_version_whose_readings_are_in_the_log_is_dropped_unasked(
    aborting: Callable[..., int], cluster_factory: Callable[..., Any], capsys: Captured
) -> None:
    cluster = cluster_factory({1: [born(0)], 2: [born(0)]}, [0])
    views = Views(2, {1: version(1, "previous"), 2: version(2, "live")})
    assert aborting(views, cluster, "drop-old") == 0
    assert cluster.deleted == [DEVICE_TOTALS.changelog(1).name]


def test_ops_b15_writers_are_fenced_many_at_a_time_with_progress(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    together = threading.Barrier(8, timeout=10)
    fenced: list[str] = []

    def fence(cluster: object, name: str) -> None:
        together.wait()
        fenced.append(name)

    class Empty(FakeCluster):
        def members(self, group: str) -> list[str]:
            return []

        def delete_group(self, group: str) -> None:
            self.deleted.append(group)

    monkeypatch.setattr(removal, "fence", fence)
    cluster: Any = Empty({}, [0])
    seen: list[tuple[int, int | None]] = []
    removal.remove(cluster, tmp_path, version(2, "dropped", 16), lambda *far: seen.append(far))
    assert sorted(fenced) == sorted(f"energy-v2-{partition}" for partition in range(16))
    assert seen == [(done, 16) for done in range(1, 17)]
    assert cluster.deleted == [DEVICE_TOTALS.changelog(2).name, "energy-v2"]


def test_ops_b15_a_writer_that_cannot_be_fenced_keeps_the_topic(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fence(cluster: object, name: str) -> None:
        if name.endswith("-3"):
            raise KafkaException(KafkaError(KafkaError.REQUEST_TIMED_OUT))

    class Away(FakeCluster):
        def members(self, group: str) -> list[str]:
            return []

        def failure(self, error: KafkaException) -> Exception:
            return NoBroker()

    monkeypatch.setattr(removal, "fence", fence)
    cluster: Any = Away({}, [0])
    with pytest.raises(NoBroker):
        removal.remove(cluster, tmp_path, version(2, "dropped", 5))
    assert cluster.deleted == []
