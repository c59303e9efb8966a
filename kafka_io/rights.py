"""Says which right is missing: the operation, the resource, and where all rights are listed.

Kafka's own words name neither. Whoever asks knows what for, and both client libraries give the
same numbers; so one place makes the sentence.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException

from kafka_io.errors import NotAllowed

#: Kafka's error code -> what it is about.
RESOURCE_OF = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "topic",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "group",
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: "transactional_id",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "cluster",
}
CLUSTER = "kafka-cluster"
_SAID = "not allowed: "
#: What is asked for where nobody says it.
_USUAL = {
    "topic": "READ or WRITE",
    "group": "READ",
    "transactional_id": "WRITE",
    "cluster": "IDEMPOTENT_WRITE",
}
_NAME = re.compile(r"[A-Za-z0-9._-]+")
#: What these include in Kafka's authorizer.
_IMPLIED = {
    "DESCRIBE": {"READ", "WRITE", "DELETE", "ALTER"},
    "DESCRIBE_CONFIGS": {"ALTER_CONFIGS"},
}


class Right(NamedTuple):
    """An operation on a resource, in Kafka's words; `resource_type` is one of RESOURCE_OF's."""

    operation: str
    resource_type: str
    name: str

    def __str__(self) -> str:
        return f"{self.operation} of {self.resource_type} {self.name}"


def read(topic: str) -> Right:
    """Return the right to read a topic."""
    return Right("READ", "topic", topic)


def write(topic: str) -> Right:
    """Return the right to write to a topic."""
    return Right("WRITE", "topic", topic)


def find(group: str) -> Right:
    """Return the right to ask for a group, which librdkafka does even where it joins none."""
    return Right("DESCRIBE", "group", group)


def commit_as(transactional_id: str) -> Right:
    """Return the right to be the one writer of that id."""
    return Right("WRITE", "transactional_id", transactional_id)


def not_allowed(rights: Iterable[Right]) -> str:
    """Say it."""
    return f"{_SAID}{', '.join(map(str, rights))}; see deploy/kafka/acls.md"


def lacking(needed: Iterable[Right], allowed: Iterable[str]) -> list[Right]:
    """Return those of the needed rights of one resource that the allowed operations lack."""
    has = set(allowed)
    return [
        right
        for right in needed
        if right.operation not in has and not has & _IMPLIED.get(right.operation, set())
    ]


def refusal(error: BaseException, rights: Iterable[Right] = ()) -> NotAllowed | None:
    """Return what an error of either library means, None if it is about something else.

    `rights` are those that were needed; the error tells which kind of resource lacks one.
    An error that names its topics or its group narrows them down.
    """
    kind = RESOURCE_OF.get(_code_of(error))
    if kind is None:
        return None
    if isinstance(error, KafkaException) and (said := error.args[0].str()).startswith(_SAID):
        return NotAllowed(said)
    of_kind = [right for right in rights if right.resource_type == kind]
    names = set(_names_in(error))
    meant = [right for right in of_kind if right.name in names] or of_kind
    named = sorted(names) if _is_aiokafkas(error) else []
    return NotAllowed(not_allowed(meant or [Right(_USUAL[kind], kind, n) for n in named or [""]]))


@contextmanager
def allowed(*rights: Right) -> Iterator[None]:
    """Raise NotAllowed in place of either library's refusal."""
    try:
        yield
    except Exception as error:
        if (missing := refusal(error, rights)) is not None:
            raise missing from error
        raise


@contextmanager
def named(*rights: Right) -> Iterator[None]:
    """Give librdkafka's refusals our words; they stay KafkaExceptions, with their codes."""
    try:
        yield
    except KafkaException as error:
        raise in_words(error, *rights) from error


def in_words(error: KafkaException, *rights: Right) -> KafkaException:
    """Return the error with our words where a right is missing, else as it is."""
    found = refusal(error, rights)
    if found is None:
        return error
    cause = error.args[0]
    return KafkaException(KafkaError(cause.code(), str(found), cause.fatal()))


def of_answer(operation: str, asked: Any, error: KafkaException) -> list[Right]:
    """Return the right that an admin client lacked for what it asked about."""
    kind = RESOURCE_OF.get(error.args[0].code())
    if kind is None:
        return []
    name = getattr(asked, "topic", None) or getattr(asked, "name", None) or str(asked)
    return [Right(operation, kind, CLUSTER if kind == "cluster" else str(name))]


def _code_of(error: BaseException) -> int:
    if isinstance(error, KafkaException):
        return int(error.args[0].code())
    # aiokafka's classes carry Kafka's number.
    return int(getattr(error, "errno", 0)) if _is_aiokafkas(error) else 0


def _is_aiokafkas(error: BaseException) -> bool:
    # Without importing it: commands that use librdkafka alone start sooner.
    return type(error).__module__ == "aiokafka.errors"


def _names_in(error: BaseException) -> Iterator[str]:
    """Give the words of librdkafka's text; aiokafka's arguments are topics, or a group."""
    if isinstance(error, KafkaException):
        yield from _NAME.findall(error.args[0].str())
        return
    for argument in error.args:
        several = isinstance(argument, (set, frozenset, tuple, list))
        yield from map(str, argument if several else [argument])
