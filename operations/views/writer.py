"""Changes what `energy_views` says: read, decide and write as one, by the one fenced writer.

Reads and writes: `energy_views`, and whatever topics a change writes with it. Guarantees: of
any number of terminals one changes it and all see the outcome; a change is whole or nothing.

The order within an attempt:

    1. fence the other writers (init_transactions ends what they had open)
    2. read `energy_views` to its end: is it done already, may it be done?
    3. one transaction
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from contract.topics import VIEWS, views_transactional_id
from contract.view_versions import Views, ViewVersion, pointer_record, version_record
from kafka_io.cluster import Cluster
from kafka_io.errors import ClusterRefused
from kafka_io.log_reader import read_views
from kafka_io.questions import PAUSE_SECONDS
from kafka_io.quiet import QUIET
from kafka_io.rights import Right, commit_as, named, write

_INIT_SECONDS = 30.0
_COMMIT_SECONDS = 30.0
#: Two terminals fence each other at most a few times before one of them is through.
_ATTEMPTS = 6
_PAUSE_SECONDS = 0.5
_TRANSACTION_TIMEOUT_MS = 10_000


class NewRecord(NamedTuple):
    """A record to be written."""

    topic: str
    partition: int
    key: bytes
    value: bytes


class Change(NamedTuple):
    """A change of `energy_views`.

    `is_done` tells whether there is nothing to do any more; `records` returns what is to be
    written, or raises what forbids it.
    """

    is_done: Callable[[Views], bool]
    records: Callable[[Views], Sequence[NewRecord]]


def version_to_write(version: ViewVersion) -> NewRecord:
    """Return the record that describes a view version."""
    return NewRecord(VIEWS.name, 0, *version_record(version))


def pointer_to_write(view_version: int) -> NewRecord:
    """Return the record that makes a view version live."""
    return NewRecord(VIEWS.name, 0, *pointer_record(view_version))


def change_views(cluster: Cluster, change: Change) -> tuple[Views, bool]:
    """Write the change unless it is done already; returns (view versions, written by us)."""
    for attempt in range(_ATTEMPTS):
        try:
            return _attempt(cluster, change)
        except KafkaException as error:
            if error.args[0].code() not in (KafkaError._FENCED, KafkaError.PRODUCER_FENCED):
                raise cluster.failure(error) from error
        # The terminal that fenced us needs some time without being fenced in turn.
        time.sleep(random.uniform(0.5, 1) * _PAUSE_SECONDS * 2**attempt)
        views = read_views(cluster.settings)
        if change.is_done(views):
            return views, False
    raise ClusterRefused(
        f"another terminal kept writing to {VIEWS.name} at the same time; run it again"
    )


def _attempt(cluster: Cluster, change: Change) -> tuple[Views, bool]:
    producer = fence(cluster, views_transactional_id())
    views = read_views(cluster.settings)
    if change.is_done(views):
        return views, False
    records = change.records(views)
    written: dict[tuple[str, int], int] = {}

    def note(_: KafkaError | None, message: Message) -> None:
        written[message.topic() or "", message.partition() or 0] = message.offset() or 0

    with named(*_needed(records)):
        producer.begin_transaction()
        for topic, partition, key, value in records:
            producer.produce(topic, value, key, partition, on_delivery=note)
        # Raises if any record was not acknowledged; the transaction then ends aborted.
        producer.commit_transaction(_COMMIT_SECONDS)
    for record in records:
        if record.topic == VIEWS.name:
            views.apply(record.key, record.value)
    _wait_until_readable(cluster, written)
    return views, True


def _needed(records: Sequence[NewRecord]) -> list[Right]:
    topics = sorted({record.topic for record in records})
    return [commit_as(views_transactional_id()), *map(write, topics)]


def _wait_until_readable(cluster: Cluster, written: Mapping[tuple[str, int], int]) -> None:
    """Wait until readers of committed records see these offsets, by topic and partition.

    A commit is answered before they do. What others write behind them does not matter.
    Raises: ClusterRefused where an open transaction hides one after the deadline.
    """
    deadline = time.monotonic() + cluster.deadline_seconds
    while True:
        ends = cluster.committed_ends(written)
        hidden = [place for place, offset in written.items() if ends[place] <= offset]
        if not hidden:
            return
        if time.monotonic() > deadline:
            name, partition = min(hidden)
            raise ClusterRefused(
                f"an open transaction hides what was written to {name}, partition {partition}"
            )
        time.sleep(PAUSE_SECONDS)


def fence(cluster: Cluster, transactional_id: str) -> Producer:
    """Start a writer under that id; what an earlier one has open is aborted for good."""
    producer = Producer(
        cluster.settings.for_confluent()
        | {
            "transactional.id": transactional_id,
            "transaction.timeout.ms": _TRANSACTION_TIMEOUT_MS,
        }
        | QUIET
    )
    with named(commit_as(transactional_id)):
        producer.init_transactions(_INIT_SECONDS)
    return producer
