"""Copies the readings of another topic, also of another cluster, into the readings topic, once.

Reads: the other topic, committed records only, without a group. Writes: readings, quarantine
records of what is none, and the offset each partition continues at, in one transaction. Guarantees:
interrupted anywhere, the same id continues where it was; run again, it copies only what is new.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from confluent_kafka import Message

from contract.quarantine import ImportedRow
from kafka_io.cluster import Cluster
from operations.backfill.source import copied, look_at, refuse_another, spans_to_copy
from operations.progress import OnProgress
from producer.errors import ProducerStopped
from producer.imports.importer import Advance, Importer
from producer.judging import BATCH_ROWS, Batch, Rows, judge, quarantine
from producer.pacing import Limit
from producer.settings import ProducerSettings

KIND = "backfill"
#: Under a bounded rate a transaction holds at most this many seconds of it.
_SECONDS_AT_ONCE = 0.25


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

    `complete` False: it was stopped before its end.
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
) -> Summary:
    """Copy all of the range that is not copied yet. Raises: Refused, SettingError, ProducerError.

    `settings` are those of the cluster of the readings topic.
    """
    topic, cluster_id = look_at(options.topic, settings, source)
    import_id = options.import_id or f"{cluster_id}-{topic.name}"
    note = {"cluster": cluster_id, "topic": topic.name, "topic_id": topic.topic_id}
    summary = Summary(import_id)
    began = time.monotonic()
    with (
        suppress(ProducerStopped),
        Importer(settings, KIND, import_id, should_stop=should_stop) as importer,
    ):
        known = {int(each): position for each, position in importer.positions.items()}
        refuse_another(import_id, note, known)
        summary.before = sum(p.readings + p.quarantined for p in known.values())
        spans = spans_to_copy(source, topic, options.begin_at, options.end_at, known)
        total = sum(len(span) for span in spans.values())
        rows = _rows_at_once(options.max_rate)
        limit = Limit(options.max_rate, time.monotonic()) if options.max_rate else None
        done = 0
        for messages, ends in copied(source, topic, spans, rows, should_stop):
            batch, advances = judged(messages, ends, import_id, note)
            importer.write_all(batch, advances)
            summary.readings += len(batch.values)
            summary.quarantined += len(batch.quarantined)
            for partition, end in ends.items():
                done += end - spans[partition].start
                spans[partition] = range(end, spans[partition].stop)
            on_progress(done, total)
            if limit is not None:
                time.sleep(limit.pause_after(len(messages), time.monotonic()))
        summary.complete = not any(spans.values())
    summary.seconds = time.monotonic() - began
    return summary


def judged(
    messages: list[Message], ends: dict[int, int], import_id: str, note: dict[str, str]
) -> tuple[Batch, dict[str, Advance]]:
    """Separate readings from invalid records, which say their import, partition and offset."""
    keys: list[bytes] = []
    values: list[bytes] = []
    quarantined: list[bytes] = []
    advances: dict[str, Advance] = {}
    of_partition: dict[int, list[Message]] = {partition: [] for partition in ends}
    for message in messages:
        of_partition[message.partition() or 0].append(message)
    for partition, some in of_partition.items():
        end = ends[partition]
        offsets = [message.offset() or 0 for message in some]
        # A record without a value is refused like any other that is no reading.
        received: list[bytes] = [message.value() for message in some]  # type: ignore[misc]
        found = judge(Rows(received, offsets, (), end, end))
        source = ImportedRow(f"{KIND}/{import_id}", f"{note['topic']}/{partition}")
        keys += found.keys
        values += found.values
        quarantined += quarantine(found.refused, source)
        advances[str(partition)] = Advance(end, len(found.values), len(found.refused), note)
    return Batch(keys, values, quarantined), advances


def _rows_at_once(max_rate: int | None) -> int:
    if max_rate is None:
        return BATCH_ROWS
    return max(1, min(BATCH_ROWS, int(max_rate * _SECONDS_AT_ONCE)))
