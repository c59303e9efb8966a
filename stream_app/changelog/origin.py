"""What totals stand on, compared before a partition works: cluster, topics, rules, offsets.

A local store that belongs to something else can be made again; a changelog that does cannot, and
goes on only by a new view version or by an operator's word.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import NamedTuple

from contract.changelog import Birth, Marker
from stream_app import metrics
from stream_app.errors import PartitionRefusal
from stream_app.store.rocksdb_store import PartitionStore

log = logging.getLogger(__name__)


class ChangelogFacts(NamedTuple):
    """What stands in a changelog partition: its birth record's bytes, and where it ends."""

    partition: int
    birth: bytes
    end_offset: int


def distrust_of(store: PartitionStore, facts: ChangelogFacts) -> str | None:
    """Say why a local store is not to be trusted, or None where it is (or is empty)."""
    offset, birth = store.changelog_offset(), store.birth()
    if offset is None and birth is None:
        return None
    if birth != facts.birth:
        return "it belongs to another cluster, topic or view version"
    if store.partition() != facts.partition:
        return f"it belongs to partition {store.partition()}"
    if offset is None:
        return "it does not say how far it is written"
    if offset >= facts.end_offset:
        return f"it is ahead of the changelog ({offset} >= {facts.end_offset})"
    return None


def check_birth(birth: Birth, expected: Birth, partition: int) -> None:
    """Compare what the changelog was born from with what is there now.

    `expected.start_offset` is passed over: only the changelog knows it. Raises: PartitionRefusal.
    """
    for what, found, now in (
        ("cluster", birth.cluster_id, expected.cluster_id),
        ("readings topic", birth.source_topic, expected.source_topic),
        ("readings topic id", birth.source_topic_id, expected.source_topic_id),
        ("changelog topic id", birth.changelog_topic_id, expected.changelog_topic_id),
        ("rules", birth.rules_id, expected.rules_id),
    ):
        if found != now:
            raise PartitionRefusal(
                partition,
                "changelog",
                f"the totals were made from {what} {found}, now it is {now}; build a new view"
                " version: energy replay start",
            )


class LostOffsets(NamedTuple):
    """Offsets that an operator goes on without, both ends included."""

    first: int
    last: int


def go_on_without(partition: int, lost: LostOffsets) -> None:
    """Tell and count offsets that an operator has accepted to lose."""
    log.warning("partition %d: going on without offsets %d-%d", partition, *lost)
    metrics.OFFSETS_GIVEN_UP.labels(str(partition)).inc(lost.last - lost.first + 1)


def removed(partition: int, lost: LostOffsets) -> PartitionRefusal:
    """Return the refusal of a partition whose readings were removed before they were counted."""
    return PartitionRefusal(
        partition,
        "readings_removed",
        f"offsets {lost.first}-{lost.last} were removed before they were counted; to go on without"
        f" them: energy worker --accept-lost-offsets {partition}:{lost.first}-{lost.last}",
    )


def unreadable(partition: int, lost: LostOffsets, why: str) -> PartitionRefusal:
    """Return the refusal of a partition in which a batch of readings cannot be read."""
    return PartitionRefusal(
        partition,
        "readings_damaged",
        f"the batch of offsets {lost.first}-{lost.last} cannot be read ({why}): bring back an"
        " intact copy of it, by another replica or from a backup; to go on without it: energy"
        f" worker --accept-lost-offsets {partition}:{lost.first}-{lost.last}",
    )


def cut_off(partition: int, applied_offset: int, end_offset: int) -> PartitionRefusal:
    """Say that the readings end before what is counted, and what to do."""
    return PartitionRefusal(
        partition,
        "readings_removed",
        f"{applied_offset} is applied, but the readings topic ends at {end_offset}: was it deleted"
        " and created again? Build a new view version: energy replay start",
    )


def check_position(
    partition: int,
    marker: Marker,
    first_offset: int,
    end_offset: int,
    accepted: Collection[LostOffsets] = (),
) -> int:
    """Compare the marker with the readings topic; returns the offset to go on at.

    That is the one after the marker, or the first there is where exactly the missing ones are
    `accepted`. Raises: PartitionRefusal.
    """
    following = marker.applied_offset + 1
    if following > end_offset:
        raise cut_off(partition, marker.applied_offset, end_offset)
    if following < first_offset:
        lost = LostOffsets(following, first_offset - 1)
        if lost not in accepted:
            raise removed(partition, lost)
        go_on_without(partition, lost)
        return first_offset
    return following
