"""Writes the birth of a view version: what each of its changelog partitions is made from.

Reads: `energy_views`, the changelog. Writes: both, in one transaction that goes through the one
fenced writer of view versions. Guarantees: of any number of terminals one gives birth and all
see its outcome; a changelog partition that holds records is never born again, because a second
marker would make its worker count readings twice.

The order within `give_birth`:

    1. fence the other writers (init_transactions ends what they had open)
    2. read `energy_views` to its end: has somebody else been here?
    3. refuse a changelog that is not empty
    4. one transaction: birth record, then marker, of each partition; version; pointer
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from typing import NamedTuple

from confluent_kafka import KafkaError, KafkaException, Producer

from contract.changelog import (
    BIRTH_KEY,
    MARKER_KEY,
    Birth,
    Marker,
    decode_birth,
    encode_birth,
    encode_marker,
)
from contract.fold import RULES_ID
from contract.topics import READINGS, VIEWS, VIEWS_TRANSACTIONAL_ID, changelog
from contract.views import Views, ViewState, ViewVersion, pointer_record, version_record
from deploy.errors import Refused
from deploy.log_reader import read_to_end, read_views, reader
from stream_app.cluster import Cluster
from stream_app.errors import ClusterRefused
from stream_app.quiet import QUIET

_INIT_SECONDS = 30.0
_COMMIT_SECONDS = 30.0
#: Two terminals fence each other at most a few times before one of them is through.
_ATTEMPTS = 6
_PAUSE_SECONDS = 0.5
_TRANSACTION_TIMEOUT_MS = 10_000


class ViewBirth(NamedTuple):
    """A view version to be born; `start_offsets` has one offset for each source partition."""

    view_version: int
    start_offsets: Sequence[int]
    state: ViewState
    births: list[Birth]

    def version(self) -> ViewVersion:
        """Its record in `energy_views`."""
        return ViewVersion(self.view_version, self.state, len(self.start_offsets), RULES_ID)


def ensure_first_view(
    cluster: Cluster, view_version: int, *, accept_partial: bool = False
) -> tuple[Views, bool]:
    """Give birth to the first view version if none is live, else check the live one's births.

    Returns: (view versions as they are now, whether this call wrote the birth).
    Raises: Refused: what is there does not fit, or the head of the log is gone and that was
    not accepted.
    """
    views = read_views(cluster.settings)
    if views.live is None:
        start_offsets = first_offsets(cluster, accept_partial=accept_partial)
        birth = plan(cluster, view_version, start_offsets, "live")
        views, written = give_birth(cluster, birth)
        if written:
            return views, True
    assert views.live is not None
    verify_births(cluster, views.versions[views.live])
    return views, False


def first_offsets(cluster: Cluster, *, accept_partial: bool) -> list[int]:
    """Return the first offset of each partition of the readings log.

    Raises: Refused: a head of it has been deleted.
    """
    partitions = cluster.topics([READINGS.name])[READINGS.name].partitions
    offsets = cluster.first_offsets(READINGS.name, partitions)
    gone = {partition: offset for partition, offset in enumerate(offsets) if offset > 0}
    if gone and not accept_partial:
        shown = ", ".join(f"{partition}:0-{offset - 1}" for partition, offset in gone.items())
        raise Refused(
            f"the head of {READINGS.name} has been deleted (partition:offsets {shown}): totals"
            " would lack those readings; --accept-partial goes on without them"
        )
    return offsets


def plan(
    cluster: Cluster, view_version: int, start_offsets: Sequence[int], state: ViewState
) -> ViewBirth:
    """Put together the births of a view version from the ids the cluster has now."""
    table = changelog(view_version).name
    topics = cluster.topics([READINGS.name, table])
    cluster_id = cluster.cluster_id()
    if topics[table].partitions < len(start_offsets):
        raise Refused(
            f"{table} has {topics[table].partitions} partitions, {READINGS.name} has"
            f" {len(start_offsets)}: add partitions to it until both have the same number"
        )
    births = [
        Birth(
            cluster_id=cluster_id,
            source_topic=READINGS.name,
            source_topic_id=topics[READINGS.name].topic_id,
            changelog_topic_id=topics[table].topic_id,
            start_offset=start_offset,
            rules_id=RULES_ID,
        )
        for start_offset in start_offsets
    ]
    return ViewBirth(view_version, start_offsets, state, births)


def give_birth(cluster: Cluster, birth: ViewBirth) -> tuple[Views, bool]:
    """Write the birth unless the version exists already; returns (view versions, written)."""
    for attempt in range(_ATTEMPTS):
        try:
            return _attempt(cluster, birth)
        except KafkaException as error:
            if error.args[0].code() not in (KafkaError._FENCED, KafkaError.PRODUCER_FENCED):
                raise cluster.failure(error) from error
        # Whoever fenced us needs a moment without being fenced in turn.
        time.sleep(random.uniform(0.5, 1) * _PAUSE_SECONDS * 2**attempt)
        views = read_views(cluster.settings)
        if _is_done(birth, views):
            return views, False
    raise ClusterRefused(
        f"another terminal kept writing to {VIEWS.name} at the same time; run it again"
    )


def _attempt(cluster: Cluster, birth: ViewBirth) -> tuple[Views, bool]:
    producer = Producer(
        cluster.settings.for_confluent()
        | {
            "transactional.id": VIEWS_TRANSACTIONAL_ID,
            "transaction.timeout.ms": _TRANSACTION_TIMEOUT_MS,
        }
        | QUIET
    )
    producer.init_transactions(_INIT_SECONDS)
    views = read_views(cluster.settings)
    if _is_done(birth, views):
        return views, False
    _refuse_used_changelog(cluster, birth)
    records = list(_changelog_records(birth))
    version = version_record(birth.version())
    announcements = [version]
    if birth.state == "live":
        announcements.append(pointer_record(birth.view_version))
    producer.begin_transaction()
    for partition, key, value in records:
        producer.produce(changelog(birth.view_version).name, value, key, partition)
    for key, value in announcements:
        producer.produce(VIEWS.name, value, key, 0)
    # Raises if any record was not acknowledged; the transaction then ends aborted.
    producer.commit_transaction(_COMMIT_SECONDS)
    cluster.wait_until_readable(
        {changelog(birth.view_version).name: len(birth.births), VIEWS.name: 1}
    )
    for key, value in announcements:
        views.apply(key, value)
    return views, True


def _is_done(birth: ViewBirth, views: Views) -> bool:
    """Tell whether somebody else has been here: the version exists, or another is live."""
    is_first = birth.state == "live"
    return birth.view_version in views.versions or (is_first and views.live is not None)


def _changelog_records(birth: ViewBirth) -> list[tuple[int, bytes, bytes]]:
    """Return (partition, key, value): birth first, marker last, as in every transaction."""
    return [
        record
        for partition, born in enumerate(birth.births)
        for record in (
            (partition, BIRTH_KEY, encode_birth(born)),
            (partition, MARKER_KEY, encode_marker(Marker(born.start_offset - 1))),
        )
    ]


def _refuse_used_changelog(cluster: Cluster, birth: ViewBirth) -> None:
    name = changelog(birth.view_version).name
    starts = dict.fromkeys(range(len(birth.births)), 0)
    with reader(cluster.settings) as consumer:
        for record in read_to_end(consumer, name, starts):
            raise Refused(
                f"{name}, partition {record.partition} holds records already, but {VIEWS.name}"
                f" does not know view version {birth.view_version}; delete {name} (its totals"
                " are in the readings log) and run it again"
            )


def read_births(cluster: Cluster, view_version: int, partitions: int) -> dict[int, Birth]:
    """Return the birth record of each changelog partition that has one."""
    births: dict[int, Birth] = {}
    starts = dict.fromkeys(range(partitions), 0)
    with reader(cluster.settings) as consumer:
        for record in read_to_end(consumer, changelog(view_version).name, starts):
            # The birth is the first record there is (compaction keeps the order), so this
            # stops early; where there is none, the whole partition is looked through.
            if record.key == BIRTH_KEY and record.value is not None:
                births.setdefault(record.partition, decode_birth(record.value))
                if len(births) == partitions:
                    break
    return births


def verify_births(cluster: Cluster, version: ViewVersion) -> None:
    """Check that a view version was born from the topics that the cluster has now.

    Raises: Refused that says what was made again, and what to do.
    """
    name = changelog(version.view_version).name
    topics = cluster.topics([READINGS.name, name])
    births = read_births(cluster, version.view_version, version.partitions)
    cure = "`energy replay start` builds a new view version from the readings log"
    for partition in range(version.partitions):
        born = births.get(partition)
        place = f"view version {version.view_version}, partition {partition}"
        if born is None or born.changelog_topic_id != topics[name].topic_id:
            raise Refused(f"{place}: {name} was deleted and made again; {cure}")
        if born.source_topic_id != topics[READINGS.name].topic_id:
            raise Refused(f"{place}: {READINGS.name} was deleted and made again; {cure}")
        if born.cluster_id != cluster.cluster_id():
            raise Refused(f"{place}: was born on another cluster, {born.cluster_id}; {cure}")
        if born.rules_id != RULES_ID:
            raise Refused(
                f"{place}: its totals follow rules {born.rules_id}, this program has rules"
                f" {RULES_ID}; {cure}"
            )
