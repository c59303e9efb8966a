"""Copies the readings of another topic, also of another cluster, into the readings topic, once.

Reads: the other topic, committed records only, without a group. Writes: readings, quarantine
records of what is none, and the offset each partition goes on at, in one transaction. Guarantees:
broken off anywhere, the same id goes on where it was; run again, it copies only what is new.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from contract.errors import SettingError
from contract.imports import Position
from contract.quarantine import ImportedRow, encode_quarantined
from contract.reading import decode_readings
from contract.topics import READINGS
from deploy.errors import NotReadable, Refused
from deploy.log_reader import reader
from deploy.offsets import Range, offsets_of
from deploy.progress import OnProgress
from producer.errors import ProducerStopped
from producer.import_writer import Batch
from producer.importer import BATCH_BYTES, BATCH_ROWS, Advance, Importer
from producer.pacing import Pace
from producer.settings import ProducerSettings
from stream_app.cluster import Cluster, TopicOnBroker

KIND = "backfill"
#: Under a bounded rate a transaction holds at most this many seconds of it.
_SECONDS_AT_ONCE = 0.25
_POLL_SECONDS = 0.2
_SILENCE_SECONDS = 30.0


@dataclass(frozen=True)
class BackfillOptions:
    """What to copy; `import_id` None: made of the cluster and the topic."""

    topic: str
    begin_at: str | None = None
    end_at: str | None = None
    import_id: str | None = None
    max_rate: int | None = None


@dataclass
class Summary:
    """What a backfill came to; `before` were copied by earlier runs with this id.

    `complete` False: it was told to stop before its end.
    """

    import_id: str
    readings: int = 0
    quarantined: int = 0
    before: int = 0
    seconds: float = 0.0
    complete: bool = False


def backfill(
    options: BackfillOptions,
    settings: ProducerSettings,
    source: Cluster,
    on_progress: OnProgress,
    *,
    should_stop: Callable[[], bool] = lambda: False,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Summary:
    """Copy all of the range that is not copied yet. Raises: Refused, SettingError, ProducerError.

    `settings` are those of the cluster of the readings topic.
    """
    topic, cluster_id = _look_at(options.topic, settings, source)
    import_id = options.import_id or f"{cluster_id}-{topic.name}"
    note = {"cluster": cluster_id, "topic": topic.name, "topic_id": topic.topic_id}
    summary = Summary(import_id)
    began = clock()
    with (
        suppress(ProducerStopped),
        Importer(settings, KIND, import_id, should_stop=should_stop) as importer,
    ):
        known = {int(each): position for each, position in importer.positions.items()}
        _refuse_another(import_id, note, known)
        summary.before = sum(p.readings + p.quarantined for p in known.values())
        spans = _spans(options, source, topic, known)
        total = sum(len(span) for span in spans.values())
        rows = _rows_at_once(options.max_rate)
        pace = Pace(options.max_rate, clock()) if options.max_rate else None
        done = 0
        with reader(source.settings) as consumer:
            for messages, ends in batches(consumer, topic.name, spans, rows, should_stop):
                batch, advances = judged(messages, ends, import_id, note)
                importer.write_all(batch, advances)
                summary.readings += len(batch.values)
                summary.quarantined += len(batch.quarantined)
                for partition, end in ends.items():
                    done += end - spans[partition].start
                    spans[partition] = range(end, spans[partition].stop)
                on_progress(done, total)
                if pace is not None:
                    pace.take(len(messages))
                    sleep(pace.seconds_to_next(clock()))
        summary.complete = not any(spans.values())
    summary.seconds = clock() - began
    return summary


def _look_at(name: str, settings: ProducerSettings, source: Cluster) -> tuple[TopicOnBroker, str]:
    """Return the topic and its cluster's id. Raises: SettingError."""
    source.brokers()
    cluster_id = source.cluster_id()
    # By ids: one cluster has many names.
    if name == READINGS.name and Cluster(settings).cluster_id() == cluster_id:
        raise SettingError(
            "TOPIC", "is the readings topic itself: every reading would count twice", value=name
        )
    topic = source.topics([name]).get(name)
    if topic is None:
        raise SettingError(
            "TOPIC", f"is not on the cluster at {source.settings.bootstrap_servers}", value=name
        )
    return topic, cluster_id


def _refuse_another(import_id: str, note: dict[str, str], known: dict[int, Position]) -> None:
    for position in known.values():
        if position.note != note:
            was = position.note or {}
            raise Refused(
                f"--id {import_id} belongs to topic {was.get('topic')} (id {was.get('topic_id')})"
                f" of cluster {was.get('cluster')}, this is {note['topic']} (id"
                f" {note['topic_id']}) of {note['cluster']}: give this backfill an --id of its own"
            )


def _spans(
    options: BackfillOptions, source: Cluster, topic: TopicOnBroker, known: dict[int, Position]
) -> dict[int, range]:
    """Return the offsets to copy, by partition: from where it was, else from the start."""
    span = Range(topic.name, topic.partitions, committed=True)
    starts = offsets_of(source, span, "--from", options.begin_at)
    ends = offsets_of(source, span, "--to", options.end_at)
    first = source.first_offsets(topic.name, topic.partitions)
    spans = {}
    for partition, (start, end) in enumerate(zip(starts, ends, strict=True)):
        if partition in known:
            start = known[partition].next_position
            if start < min(first[partition], end):
                raise Refused(
                    f"{topic.name}, partition {partition}: offsets {start}-{first[partition] - 1}"
                    " were removed before they were copied; another --id begins anew"
                )
        spans[partition] = range(start, max(start, end))
    return spans


def batches(
    consumer: Consumer,
    topic: str,
    spans: dict[int, range],
    most_rows: int,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[tuple[list[Message], dict[int, int]]]:
    """Yield records in each partition's order, with the offset each partition then goes on at.

    Raises: NotReadable when nothing comes for long.
    """
    left = {partition: span.stop for partition, span in spans.items() if span}
    consumer.assign([TopicPartition(topic, p, spans[p].start) for p in left])
    kept: list[Message] = []
    size = 0
    ends: dict[int, int] = {}
    heard_at = time.monotonic()
    while left and not should_stop():
        messages = consumer.consume(most_rows - len(kept), _POLL_SECONDS)
        for message in messages:
            partition, offset, error = message.partition(), message.offset(), message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                if error.fatal():
                    raise KafkaException(error)
                continue
            assert partition is not None
            assert offset is not None
            heard_at = time.monotonic()
            if partition not in left:
                continue
            if error is None and offset < left[partition]:
                kept.append(message)
                size += len(message.value() or b"")
            # The end of the partition, too, is an offset: that of the next record.
            ends[partition] = min(offset + (error is None), left[partition])
            if ends[partition] >= left[partition]:
                del left[partition]
        if kept and (len(kept) >= most_rows or size >= BATCH_BYTES or not messages or not left):
            yield kept, ends
            kept, size, ends = [], 0, {}
        if time.monotonic() - heard_at > _SILENCE_SECONDS:
            raise NotReadable(f"{topic}: nothing came for {_SILENCE_SECONDS:g} s; run it again")
    if ends:
        yield kept, ends


def judged(
    messages: list[Message], ends: dict[int, int], import_id: str, note: dict[str, str]
) -> tuple[Batch, dict[str, Advance]]:
    """Tell readings from what is none; a bad record says which import, partition and offset."""
    values = [message.value() for message in messages]
    readings, rejected = decode_readings(values)
    bad = {place for place, _ in rejected}
    now = datetime.now(UTC)
    quarantined = [
        encode_quarantined(
            values[place],
            error,
            ImportedRow(
                f"{KIND}/{import_id}",
                f"{note['topic']}/{messages[place].partition()}",
                messages[place].offset(),
            ),
            now,
        )
        for place, error in rejected
    ]
    counts = {partition: [0, 0] for partition in ends}
    for place, message in enumerate(messages):
        counts[message.partition() or 0][place in bad] += 1
    batch = Batch(
        [reading.device_id.encode() for reading in readings],
        [value for place, value in enumerate(values) if place not in bad and value is not None],
        quarantined,
    )
    advances = {
        str(partition): Advance(end, counts[partition][0], counts[partition][1], note)
        for partition, end in ends.items()
    }
    return batch, advances


def _rows_at_once(max_rate: int | None) -> int:
    if max_rate is None:
        return BATCH_ROWS
    return max(1, min(BATCH_ROWS, int(max_rate * _SECONDS_AT_ONCE)))
