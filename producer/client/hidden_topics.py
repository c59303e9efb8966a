"""A topic that our user has no right to: Kafka hides it, and a client that writes looks for it.

It would look for many seconds, and then say that there is no such topic. Asked for by its name,
Kafka says which it is.
"""

from __future__ import annotations

from confluent_kafka import KafkaException, Producer

from kafka_io.rights import in_words, refusal, write


def refuse_hidden(client: Producer, topic: str, timeout_seconds: float) -> None:
    """Raise KafkaException, in our words, where the topic is hidden from us; else do nothing.

    Raises it in Kafka's words where nobody answers.
    """
    answer = client.list_topics(topic, timeout=timeout_seconds).topics.get(topic)
    if answer is None or answer.error is None:
        return
    error = KafkaException(answer.error)
    if refusal(error, [write(topic)]) is not None:
        raise in_words(error, write(topic))
