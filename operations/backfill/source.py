"""The topic a backfill copies: which of it is left to be copied, and its records in batches.

Reads: the other topic, committed records only, without a group. Writes: nothing. Guarantees: no
offset is passed over; where retention was faster than the copy, it says which offsets are lost.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from contract.errors import SettingError
from contract.import_positions import Position
from contract.kafka import KafkaSettings
from contract.topics import READINGS
from kafka_io.cluster import Cluster, TopicOnBroker
from kafka_io.errors import NotReadable
from kafka_io.log_reader import reader
from kafka_io.polling import is_end, poll
from kafka_io.rights import read, refusal
from operations.errors import Refused
from operations.named_offsets import Range, offsets_of
from producer.judging import BATCH_BYTES

#: What a cluster that gives topics no ids gives them all.
NO_TOPIC_ID = "A" * 22
_POLL_SECONDS = 0.2
_SILENCE_SECONDS = 30.0

Batches = Iterator[tuple[list[Message], dict[int, int]]]


def look_at(name: str, settings: KafkaSettings, source: Cluster) -> tuple[TopicOnBroker, str]:
    """Return the topic and its cluster's id. Raises: SettingError."""
    source.brokers()
    cluster_id = source.cluster_id()
    source.refuse_lacking([read(name)])
    topic = source.topics([name]).get(name)
    if topic is None:
        raise SettingError(
            "TOPIC", f"is not on the cluster at {source.settings.bootstrap_servers}", value=name
        )
    # By the topic's id: one cluster has many addresses, and clusters made from one template
    # (the same image, the same CLUSTER_ID) have one id.
    if name == READINGS.name and _is_the_same(topic, cluster_id, Cluster(settings)):
        raise SettingError(
            "TOPIC", "is the readings topic itself: every reading would count twice", value=name
        )
    return topic, cluster_id


def _is_the_same(topic: TopicOnBroker, cluster_id: str, target: Cluster) -> bool:
    own = target.topics([topic.name]).get(topic.name)
    if own is None or own.topic_id != topic.topic_id:
        return False
    return topic.topic_id != NO_TOPIC_ID or target.cluster_id() == cluster_id


def refuse_another(import_id: str, note: Mapping[str, str], known: Mapping[int, Position]) -> None:
    """Refuse an id under which another topic was copied. Raises: Refused."""
    for position in known.values():
        if position.note != note:
            was = position.note or {}
            raise Refused(
                f"--id {import_id} belongs to topic {was.get('topic')} (id {was.get('topic_id')})"
                f" of cluster {was.get('cluster')}, this is {note['topic']} (id"
                f" {note['topic_id']}) of {note['cluster']}: give this backfill an --id of its own"
            )


def spans_to_copy(
    source: Cluster,
    topic: TopicOnBroker,
    begin_at: str | None,
    end_at: str | None,
    known: Mapping[int, Position],
) -> dict[int, range]:
    """Return the offsets to copy, by partition: from where it was, else from the start.

    Raises: SettingError, Refused.
    """
    span = Range(topic.name, topic.partitions, committed=True)
    starts = offsets_of(source, span, "--from", begin_at)
    ends = offsets_of(source, span, "--to", end_at)
    spans = {}
    for partition, (start, end) in enumerate(zip(starts, ends, strict=True)):
        if partition in known:
            start = known[partition].next_position
        spans[partition] = range(start, max(start, end))
    refuse_removed(source, topic, spans)
    return spans


def refuse_removed(source: Cluster, topic: TopicOnBroker, spans: dict[int, range]) -> None:
    """Refuse where offsets that are still to be copied are not in the log any more.

    Raises: Refused.
    """
    first = source.first_offsets(topic.name, topic.partitions)
    lost = [
        f"{partition}:{span.start}-{min(first[partition], span.stop) - 1}"
        for partition, span in spans.items()
        if span.start < min(first[partition], span.stop)
    ]
    if lost:
        # All partitions are named: one that is not would be copied from its first offset again.
        rest = ",".join(f"{p}:{max(span.start, first[p])}" for p, span in spans.items())
        raise Refused(
            f"{topic.name}: partition:offsets {', '.join(lost)} were removed before they were"
            f" copied; to copy the rest without them: --id ANOTHER --from {rest}"
        )


def copied(
    source: Cluster,
    topic: TopicOnBroker,
    spans: dict[int, range],
    most_rows: int,
    should_stop: Callable[[], bool],
) -> Batches:
    """Yield what `batches` does; `spans` are, all the while, what is still to be copied.

    Raises: Refused, NotAllowed, NotReadable.
    """
    # Where retention overtakes the copy it must not jump to what is left.
    with reader(source.settings, where_removed="error") as consumer:
        try:
            yield from batches(consumer, topic.name, spans, most_rows, should_stop)
        except KafkaException as error:
            if (missing := refusal(error, [read(topic.name)])) is not None:
                raise missing from error
            refuse_removed(source, topic, spans)
            raise NotReadable(f"{topic.name} cannot be read: {error.args[0].str()}") from error


def batches(
    consumer: Consumer,
    topic: str,
    spans: dict[int, range],
    most_rows: int,
    should_stop: Callable[[], bool],
) -> Batches:
    """Yield records in each partition's order, with the offset each partition then continues at.

    Raises: NotReadable when nothing comes for long; KafkaException where nothing ever would.
    """
    left = {partition: span.stop for partition, span in spans.items() if span}
    consumer.assign([TopicPartition(topic, p, spans[p].start) for p in left])
    kept: list[Message] = []
    size = 0
    ends: dict[int, int] = {}
    heard_at = time.monotonic()
    while left and not should_stop():
        messages = poll(consumer, _POLL_SECONDS, most_rows - len(kept))
        for message in messages:
            partition, offset = message.partition(), message.offset()
            assert partition is not None
            assert offset is not None
            heard_at = time.monotonic()
            if partition not in left:
                continue
            if not is_end(message) and offset < left[partition]:
                kept.append(message)
                size += len(message.value() or b"")
            # The end of the partition, too, is an offset: that of the next record.
            ends[partition] = min(offset + (not is_end(message)), left[partition])
            if ends[partition] >= left[partition]:
                del left[partition]
        if kept and (len(kept) >= most_rows or size >= BATCH_BYTES or not messages or not left):
            yield kept, ends
            kept, size, ends = [], 0, {}
        if time.monotonic() - heard_at > _SILENCE_SECONDS:
            raise NotReadable(f"{topic}: nothing came for {_SILENCE_SECONDS:g} s; run it again")
    if ends:
        yield kept, ends
