"""What totals were made from, checked before a partition starts: cluster, topics, rules, offsets.

A local store that belongs to something else can be made again; a changelog that does cannot, and
continues only by a new view version or by an operator's word.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import NamedTuple

from contract.changelog import Birth, Marker
from contract.view import View
from stream_app import metrics
from stream_app.errors import PartitionRefusal
from stream_app.store.rocksdb_store import PartitionStore

log = logging.getLogger(__name__)


class ChangelogFacts(NamedTuple):
    """What is in a changelog partition: its birth record's bytes, and where it ends."""

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
    """Offsets that an operator continues without, both ends included."""

    first: int
    last: int


def is_accepted(lost: LostOffsets, accepted: Collection[LostOffsets]) -> bool:
    """Return whether an operator has named what a view lacks, and nothing later.

    A named range may begin before it: what the view has counted of that is not lost, and another
    view, which commits later, may lack it.
    """
    return any(named.first <= lost.first and named.last == lost.last for named in accepted)


def go_on_without(view: View, partition: int, lost: LostOffsets) -> None:
    """Tell and count, once for all views, offsets that an operator has accepted to lose."""
    log.warning("partition %d: %s continues without offsets %d-%d", partition, view.name, *lost)
    if view.quarantines:
        metrics.OFFSETS_GIVEN_UP.labels(str(partition)).inc(lost.last - lost.first + 1)


def removed(
    partition: int, lost: LostOffsets, all_lack_from: int | None = None
) -> PartitionRefusal:
    """Return the refusal of a partition whose readings were removed before they were counted.

    `all_lack_from` is the first offset that any view lacks: one command serves all of them.
    """
    first = lost.first if all_lack_from is None else min(lost.first, all_lack_from)
    others = "" if first == lost.first else " and what another view lacks"
    return PartitionRefusal(
        partition,
        "readings_removed",
        f"offsets {lost.first}-{lost.last} were removed before they were counted; to continue"
        f" without them{others}: energy worker"
        f" --accept-lost-offsets {partition}:{first}-{lost.last}",
    )


def unreadable(partition: int, lost: LostOffsets, why: str) -> PartitionRefusal:
    """Return the refusal of a partition in which a batch of readings cannot be read."""
    return PartitionRefusal(
        partition,
        "readings_damaged",
        f"the batch of offsets {lost.first}-{lost.last} cannot be read ({why}): restore an"
        " intact copy of it, from another replica or a backup; to continue without it: energy"
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
    all_lack_from: int | None = None,
) -> int:
    """Compare the marker with the readings topic; returns the offset to continue at.

    That is the one after the marker, or the first there is where the missing ones are `accepted`.
    `all_lack_from` is what the view that is furthest behind wants next. Raises: PartitionRefusal.
    """
    following = marker.applied_offset + 1
    if following > end_offset:
        raise cut_off(partition, marker.applied_offset, end_offset)
    if following < first_offset:
        lost = LostOffsets(following, first_offset - 1)
        if not is_accepted(lost, accepted):
            raise removed(partition, lost, all_lack_from)
        return first_offset
    return following
