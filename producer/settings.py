"""Settings of a producer of readings; each has its variable, unit and default here."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from contract.kafka import KafkaSettings
from contract.settings import Integer, Seconds

#: How a device's partition is chosen: as Java clients do, as librdkafka does, or without a key.
Partitioner = Literal["murmur2", "crc32", "none"]

#: librdkafka's names. Without a key both choose a partition for a while, at random.
_PARTITIONERS = {
    "murmur2": "murmur2_random",
    "crc32": "consistent_random",
    "none": "murmur2_random",
}
#: The bounds are ours (PRODUCER_QUEUE_*); librdkafka's own must never be met before them.
_LIBRDKAFKA_QUEUE = {
    "queue.buffering.max.messages": 10_000_000,
    "queue.buffering.max.kbytes": 2_147_483_647,
}


#: A topic that is not there after so long is missing, not just made.
_NEW_TOPIC_MS = 5000
#: A broker that is back is found again within a second (librdkafka: ten).
_RECONNECT_MS = 1000


class ProducerSettings(KafkaSettings):
    """How readings are sent."""

    linger_ms: Integer = Field(5, alias="PRODUCER_LINGER_MS", ge=0, le=1000)
    compression: Literal["none", "gzip", "snappy", "lz4", "zstd"] = Field(
        "lz4", alias="PRODUCER_COMPRESSION"
    )
    queue_records: Integer = Field(200_000, alias="PRODUCER_QUEUE_RECORDS", ge=1, le=5_000_000)
    queue_bytes: Integer = Field(
        128 << 20, alias="PRODUCER_QUEUE_BYTES", ge=1 << 20, le=1_000_000_000
    )
    #: When a record is not acknowledged after this, all that are under way are given up; 0: never.
    delivery_timeout_seconds: Seconds = Field(
        30.0, alias="PRODUCER_DELIVERY_TIMEOUT_SECONDS", ge=0, le=86_400
    )
    partitioner: Partitioner = Field("murmur2", alias="PRODUCER_PARTITIONER")

    def for_producer(self) -> dict[str, Any]:
        """Return librdkafka's configuration of an idempotent producer."""
        return {
            **self.for_confluent(),
            **_LIBRDKAFKA_QUEUE,
            "enable.idempotence": True,
            "acks": "all",
            # `energy topics create` makes topics: with their partitions and configs.
            "allow.auto.create.topics": False,
            "topic.metadata.propagation.max.ms": _NEW_TOPIC_MS,
            "reconnect.backoff.max.ms": _RECONNECT_MS,
            "linger.ms": self.linger_ms,
            "compression.type": self.compression,
            "partitioner": _PARTITIONERS[self.partitioner],
            # Records are given up all at once: polled_client.py.
            "message.timeout.ms": 0,
        }
