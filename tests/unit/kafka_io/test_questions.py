"""What is asked of a cluster ends, answered or not: with a client of librdkafka, and no broker."""

from __future__ import annotations

from concurrent.futures import Future
from typing import cast

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from contract.kafka import KafkaSettings
from kafka_io import questions
from kafka_io.cluster import Cluster
from kafka_io.errors import NoBroker
from kafka_io.rights import find


def test_a_question_about_a_group_ends_though_nobody_else_keeps_its_client(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nobody = KafkaSettings.load({"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"})
    cluster = Cluster(nobody, deadline_seconds=0.5)
    monkeypatch.setattr(cluster, "new_admin_of_living", cluster._new_admin)
    # A client that is let go first never answers: a start would hang.
    with pytest.raises(NoBroker):
        cluster.lacking([find("energy-v1")])


class OfAMovedLeader:
    """Knows who leads once it has looked, as librdkafka does."""

    def __init__(self, code: int) -> None:
        self._error: KafkaException | None = KafkaException(KafkaError(code))

    def list_topics(self, timeout: float) -> None:
        self._error = None

    def ask(self) -> dict[str, Future[int]]:
        future: Future[int] = Future()
        if self._error is not None:
            future.set_exception(self._error)
        else:
            future.set_result(7)
        return {"end": future}


@pytest.mark.parametrize(
    "code",
    [
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
    ],
)
def test_a_leader_that_has_moved_is_looked_up_and_asked(
    monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    asking = questions.Questions(KafkaSettings.load({"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}), 1)
    admin = OfAMovedLeader(code)
    monkeypatch.setattr(asking, "_admin", admin)
    assert asking.ask(admin.ask, "DESCRIBE") == {"end": 7}


class OfAGoneController:
    """Asks one that is gone until it is told who lives, as librdkafka does; -1: for ever."""

    def __init__(self, told_until_it_answers: int) -> None:
        self.asked: Future[str] = Future()
        self._left = told_until_it_answers
        self.told = 0

    def list_topics(self, timeout: float) -> None:
        self.told += 1
        if self.told == self._left:
            self.asked.set_result("answered")
        if self.told == 1:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))


def test_a_client_whose_broker_is_gone_is_told_who_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(questions, "LOOK_SECONDS", 0.01)
    admin = OfAGoneController(2)
    assert questions.answer(cast(AdminClient, admin), admin.asked, 5) == "answered"
    assert admin.told == 2


def test_a_question_that_nobody_answers_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(questions, "LOOK_SECONDS", 0.01)
    admin = OfAGoneController(-1)
    with pytest.raises(KafkaException) as ended:
        questions.answer(cast(AdminClient, admin), admin.asked, 0.1)
    assert ended.value.args[0].code() == KafkaError._TIMED_OUT
