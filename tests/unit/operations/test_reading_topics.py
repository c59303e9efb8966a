"""Reading a topic to its end: what comes, what passes, and what is told when nothing ever would."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from contract.errors import SettingError
from contract.kafka import KafkaSettings
from contract.topics import READINGS
from kafka_io.cluster import TopicOnBroker
from kafka_io.errors import NotAllowed, NotReadable
from kafka_io.log_reader import read_to_end
from kafka_io.polling import poll
from kafka_io.rights import Right
from operations.backfill import source as backfill_source
from operations.backfill.source import NO_TOPIC_ID, batches, copied, look_at, refuse_removed
from operations.changelog.part import ChangelogPart
from operations.errors import Refused
from producer.pacing import Limit

END = KafkaError._PARTITION_EOF


class Message:
    """A record, or an error with that code."""

    def __init__(self, offset: int, value: bytes = b"", code: int | None = None) -> None:
        self._offset, self._value, self._code = offset, value, code

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._offset

    def key(self) -> bytes:
        return b"k"

    def value(self) -> bytes:
        return self._value

    def headers(self) -> None:
        return None

    def timestamp(self) -> tuple[int, int]:
        return 0, 0

    def error(self) -> KafkaError | None:
        return None if self._code is None else KafkaError(self._code)


class ScriptedConsumer:
    """Gives the messages, those of one list at once, then nothing for ever."""

    def __init__(self, *lists: list[Message]) -> None:
        self._lists = [list(each) for each in lists]
        self.polls = 0

    def assign(self, places: object) -> None:
        """Everything comes from partition 0."""

    def poll(self, seconds: float) -> Message | None:
        self.polls += 1
        if not self._lists:
            return None
        first = self._lists[0].pop(0)
        if not self._lists[0]:
            del self._lists[0]
        return first

    def consume(self, most: int, seconds: float) -> list[Message]:
        assert seconds == 0, "it would wait for a full list"
        return self._lists.pop(0) if self._lists and len(self._lists[0]) <= most else []


PASSING = [KafkaError._TRANSPORT, KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError._TIMED_OUT]
LASTING = [
    KafkaError._AUTHENTICATION,
    KafkaError._AUTO_OFFSET_RESET,
]


@pytest.mark.parametrize("code", PASSING)
def test_what_passes_by_itself_is_passed_over(code: int) -> None:
    consumer: Any = ScriptedConsumer(
        [Message(0, code=code), Message(0, b"a")], [Message(1, code=END)]
    )
    assert [record.value for record in read_to_end(consumer, "t", {0: 0})] == [b"a"]


@pytest.mark.parametrize("code", LASTING)
def test_ops_k10_what_never_passes_is_told_at_once_with_its_reason(code: int) -> None:
    consumer: Any = ScriptedConsumer([Message(0, code=code)])
    with pytest.raises(NotReadable, match=r"^t cannot be read: .*(uthent|offset)"):
        list(read_to_end(consumer, "t", {0: 0}))
    assert consumer.polls == 1


def test_ops_k10_a_right_that_is_missing_is_named_at_once() -> None:
    consumer: Any = ScriptedConsumer([Message(0, code=KafkaError.TOPIC_AUTHORIZATION_FAILED)])
    with pytest.raises(
        NotAllowed, match=r"^not allowed: READ of topic t; see deploy/kafka/acls\.md"
    ):
        list(read_to_end(consumer, "t", {0: 0}))
    assert consumer.polls == 1


def test_who_joins_no_group_and_reads_for_a_while_needs_no_right_to_one() -> None:
    refused = Message(0, code=KafkaError.GROUP_AUTHORIZATION_FAILED)
    brief: Any = ScriptedConsumer([refused, Message(0, b"a")], [Message(1, code=END)])
    assert [record.value for record in read_to_end(brief, "t", {0: 0})] == [b"a"]
    lasting: Any = ScriptedConsumer([refused])
    with pytest.raises(KafkaException):
        poll(lasting, 0, for_good=True)


@pytest.mark.parametrize("code", [*PASSING, KafkaError.GROUP_AUTHORIZATION_FAILED])
def test_what_is_passed_over_is_no_silence(code: int) -> None:
    consumer: Any = ScriptedConsumer([Message(0, code=code)], [Message(0, b"a")])
    assert [message.value() for message in poll(consumer, 30, most=1)] == [b"a"]


def test_silence_is_told_with_the_partition() -> None:
    consumer: Any = ScriptedConsumer()
    with pytest.raises(NotReadable, match="t, partition 0 could not be read to its end"):
        list(read_to_end(consumer, "t", {0: 0}, timeout_seconds=0))


def test_ops_b14_a_silent_broker_is_no_unforeseen_error_of_a_comparison() -> None:
    consumer: Any = ScriptedConsumer()
    with pytest.raises(NotReadable, match="changelog, partition 3 could not be read to its end"):
        ChangelogPart(consumer, ("changelog", 3), {}).read_to_end(0)


def test_no_more_is_taken_than_is_asked_for() -> None:
    consumer: Any = ScriptedConsumer([Message(0)], [Message(1), Message(2), Message(3)])
    assert [message.offset() for message in poll(consumer, 0, most=1)] == [0]
    assert [message.offset() for message in poll(consumer, 0, most=3)] == [1, 2, 3]


# --- backfill


class FakeSource:
    """A cluster with one topic of two partitions."""

    deadline_seconds = 0.1

    def __init__(self, first: list[int], topic_id: str = "T1", cluster_id: str = "C1") -> None:
        self.first = first
        self.settings = KafkaSettings()
        self._ids = topic_id, cluster_id

    def brokers(self) -> int:
        return 1

    def cluster_id(self) -> str:
        return self._ids[1]

    def refuse_lacking(self, needed: Iterable[Right]) -> None:
        assert [right.operation for right in needed] == ["READ"]

    def topics(self, names: list[str]) -> dict[str, TopicOnBroker]:
        return {name: TopicOnBroker(name, self._ids[0], 2, 1) for name in names}

    def first_offsets(self, name: str, partitions: int) -> list[int]:
        return self.first


TOPIC = TopicOnBroker("archive", "T1", 2, 1)


def test_ops_b3_lost_offsets_are_named_with_what_copies_the_rest_once() -> None:
    source: Any = FakeSource([15, 0])
    with pytest.raises(Refused) as refused:
        refuse_removed(source, TOPIC, {0: range(10, 30), 1: range(20, 30)})
    assert "partition:offsets 0:10-14 were removed before they were copied" in str(refused.value)
    assert "--from 0:15,1:20" in str(refused.value), "what was copied is not copied again"
    assert refused.value.exit_code == 3
    # What is removed beyond the end of the range, or was copied, is nobody's loss.
    refuse_removed(source, TOPIC, {0: range(10, 10), 1: range(20, 30)})


def test_ops_b3_retention_that_overtakes_the_copy_is_told_and_nothing_is_jumped_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    messages = [Message(0, b"a"), Message(1, b"b")]
    gone = Message(0, code=KafkaError._AUTO_OFFSET_RESET)
    source, asked = FakeSource([0, 0]), []

    class Reader:
        def __init__(self, settings: object, *, where_removed: str) -> None:
            asked.append(where_removed)

        def __enter__(self) -> ScriptedConsumer:
            return ScriptedConsumer(messages, [gone])

        def __exit__(self, *_: object) -> None:
            """Nothing is open."""

    monkeypatch.setattr(backfill_source, "reader", Reader)
    spans, given = {0: range(30)}, list[int]()

    def copy(source: Any) -> None:
        for some, ends in copied(source, TOPIC, spans, 2, lambda: False):
            given.extend(message.offset() or 0 for message in some)
            spans[0] = range(ends[0], 30)
            source.first = [10, 0]

    with pytest.raises(Refused, match="partition:offsets 0:2-9 were removed"):
        copy(source)
    assert given == [0, 1]
    assert asked == ["error"]


def test_ops_b3_a_place_that_is_gone_without_a_loss_is_no_end_either(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The source was cut behind our place: nothing of it was removed before it was copied."""
    consumer: Any = ScriptedConsumer([Message(0, code=KafkaError._AUTO_OFFSET_RESET)])
    with pytest.raises(KafkaException):
        list(batches(consumer, "archive", {0: range(5, 9)}, 10, lambda: False))


@pytest.mark.parametrize(
    ("own", "other", "is_refused"),
    [
        (("T1", "C1"), ("T1", "C1"), True),
        (("T1", "C1"), ("T2", "C1"), False),
        (("T1", "C1"), ("T2", "C2"), False),
        ((NO_TOPIC_ID, "C1"), (NO_TOPIC_ID, "C1"), True),
        ((NO_TOPIC_ID, "C1"), (NO_TOPIC_ID, "C2"), False),
    ],
)
def test_ops_b7_into_itself_is_told_by_the_topics_id(
    own: tuple[str, str],
    other: tuple[str, str],
    is_refused: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two installations of one compose file have one cluster id."""
    monkeypatch.setattr(backfill_source, "Cluster", lambda settings: FakeSource([0], *own))
    source: Any = FakeSource([0], *other)
    if is_refused:
        with pytest.raises(SettingError, match="is the readings topic itself"):
            look_at(READINGS.name, KafkaSettings(), source)
    else:
        topic, cluster_id = look_at(READINGS.name, KafkaSettings(), source)
        assert (topic.topic_id, cluster_id) == other


def test_ops_b4_a_limit_does_not_make_up_for_a_stall() -> None:
    limit, now = Limit(1_000, 0.0), 0.0
    for stall in (0.0, 0.0, 61.0, *[0.0] * 100):
        now += stall
        now += limit.pause_after(250, now)
    # 103 batches of 250: 25.75 s of work, 61 s of stall, of which one second is made up for.
    assert now == pytest.approx(25.75 + 61 - 1, abs=0.3)


def test_ops_b4_what_is_slower_than_its_limit_never_waits() -> None:
    limit = Limit(1_000, 0.0)
    assert [limit.pause_after(100, float(second)) for second in range(1, 5)] == [0.0] * 4
