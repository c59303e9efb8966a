"""What is said where a right is missing, whichever library heard of it."""

from __future__ import annotations

import pytest
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    NodeNotReadyError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import ConfigResource, ResourceType

from kafka_io.errors import NotAllowed
from kafka_io.rights import (
    Right,
    allowed,
    commit_as,
    find,
    in_words,
    lacking,
    named,
    of_answer,
    read,
    refusal,
    write,
)

READINGS, QUARANTINE = write("energy_consumption"), write("energy_consumption_quarantine")


def of_librdkafka(code: int, text: str = "Broker: said no") -> KafkaException:
    return KafkaException(KafkaError(code, text))


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, "READ of topic energy_views"),
        (KafkaError.GROUP_AUTHORIZATION_FAILED, "DESCRIBE of group energy-reader"),
        (
            KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
            "WRITE of transactional_id energy-views",
        ),
    ],
)
def test_the_right_is_of_the_kind_that_kafka_refuses(code: int, said: str) -> None:
    rights = [read("energy_views"), find("energy-reader"), commit_as("energy-views")]
    assert str(refusal(of_librdkafka(code), rights)) == (
        f"not allowed: {said}; see deploy/kafka/acls.md"
    )


def test_a_topic_that_is_named_whole_is_the_one() -> None:
    text = "ProduceRequest for energy_consumption [3] failed"
    error = of_librdkafka(KafkaError.TOPIC_AUTHORIZATION_FAILED, text)
    found = str(refusal(error, [READINGS, QUARANTINE]))
    assert str(READINGS) in found
    assert str(QUARANTINE) not in found


def test_all_are_named_where_none_is() -> None:
    error = of_librdkafka(KafkaError.TOPIC_AUTHORIZATION_FAILED)
    found = str(refusal(error, [READINGS, QUARANTINE]))
    assert f"{READINGS}, {QUARANTINE};" in found


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (TopicAuthorizationFailedError({"a"}), "READ or WRITE of topic a"),
        (TopicAuthorizationFailedError("a"), "READ or WRITE of topic a"),
        (GroupAuthorizationFailedError("g"), "READ of group g"),
        (TransactionalIdAuthorizationFailed("t"), "WRITE of transactional_id t"),
    ],
)
def test_aiokafkas_errors_name_the_resource(error: Exception, said: str) -> None:
    assert said in str(refusal(error))


@pytest.mark.parametrize(
    "error", [of_librdkafka(KafkaError._TIMED_OUT), NodeNotReadyError(), OSError(29, "no seek")]
)
def test_what_is_about_something_else_is_left(error: Exception) -> None:
    assert refusal(error, [READINGS]) is None


def test_librdkafkas_error_keeps_its_code() -> None:
    with (
        pytest.raises(KafkaException) as caught,
        named(commit_as("energy-views")),
    ):
        raise of_librdkafka(KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED)
    cause = caught.value.args[0]
    assert cause.code() == KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED
    assert "WRITE of transactional_id energy-views" in cause.str()
    assert str(refusal(caught.value)) == cause.str(), "said once, it stays so"
    other = of_librdkafka(KafkaError._TIMED_OUT)
    assert in_words(other, READINGS) is other


def test_either_librarys_refusal_becomes_ours() -> None:
    with pytest.raises(NotAllowed, match="WRITE of topic a"), allowed(write("a")):
        raise TopicAuthorizationFailedError({"a"})
    with pytest.raises(NodeNotReadyError), allowed(write("a")):
        raise NodeNotReadyError


def test_an_operation_that_another_one_includes_is_not_lacking() -> None:
    needed = [Right("DESCRIBE", "topic", "a"), read("a"), Right("DESCRIBE_CONFIGS", "topic", "a")]
    assert lacking(needed, ["READ", "DESCRIBE"]) == needed[2:]
    assert lacking(needed, ["WRITE", "ALTER_CONFIGS"]) == [read("a")]


def test_what_an_admin_asks_about_is_named_by_what_it_was_asked_with() -> None:
    about_topic = of_librdkafka(KafkaError.TOPIC_AUTHORIZATION_FAILED)
    asked = ConfigResource(ResourceType.TOPIC, "energy_views")
    assert of_answer("DESCRIBE_CONFIGS", asked, about_topic) == [
        Right("DESCRIBE_CONFIGS", "topic", "energy_views")
    ]
    about_cluster = of_librdkafka(KafkaError.CLUSTER_AUTHORIZATION_FAILED)
    asked = ConfigResource(ResourceType.BROKER, "1")
    assert of_answer("DESCRIBE_CONFIGS", asked, about_cluster) == [
        Right("DESCRIBE_CONFIGS", "cluster", "kafka-cluster")
    ]
    assert of_answer("DESCRIBE", "a", of_librdkafka(KafkaError._TIMED_OUT)) == []
