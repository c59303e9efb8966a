"""A topic that we may not see is told from one that is there."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from producer.client.hidden_topics import refuse_hidden


class Client:
    """Answers what Kafka says of each topic."""

    def __init__(self, code: int | None) -> None:
        self._error = None if code is None else KafkaError(code)

    def list_topics(self, topic: str, timeout: float) -> Any:
        return SimpleNamespace(topics={topic: SimpleNamespace(error=self._error)})


def test_a_hidden_topic_is_refused_with_the_right() -> None:
    hidden: Any = Client(KafkaError.TOPIC_AUTHORIZATION_FAILED)
    with pytest.raises(KafkaException, match="not allowed: WRITE of topic energy_consumption"):
        refuse_hidden(hidden, "energy_consumption", 1.0)


@pytest.mark.parametrize("code", [None, KafkaError.UNKNOWN_TOPIC_OR_PART])
def test_others_are_left_to_whoever_writes(code: int | None) -> None:
    other: Any = Client(code)
    refuse_hidden(other, "energy_consumption", 1.0)
