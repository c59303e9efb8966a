"""What Kafka's client said last: its exceptions say that nobody answered, not why."""

from __future__ import annotations

import re

from confluent_kafka import KafkaError

_HOW_LONG = re.compile(r" \(after \d+ms in state [^)]*\)")


class LastProblem:
    """An `error_cb` that keeps the last reason."""

    def __init__(self) -> None:
        self.text = ""

    def __call__(self, problem: KafkaError) -> None:
        """Keep what it says; that all brokers are down says less than what was said about each."""
        if problem.code() != KafkaError._ALL_BROKERS_DOWN:
            self.text = " ".join(_HOW_LONG.sub("", problem.str()).split())
