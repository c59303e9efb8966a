"""Compares the totals of two view versions exactly, also while readings keep coming.

Reads: both changelogs, committed records only. A partition of one version and the same of the
other are both brought to one applied offset, transaction by transaction: only there the
question "same totals?" has a meaning. Memory: one partition of both versions at a time.
"""

from __future__ import annotations

import decimal
import hashlib
import time
from collections import deque
from collections.abc import Iterator

import msgspec
from confluent_kafka import Consumer, TopicPartition

from contract.changelog import MARKER_KEY, RESERVED_PREFIX, Marker, check_follows, decode_marker
from contract.decimals import EXACT, Number, canonical
from contract.view import View
from kafka_io.cluster import Cluster
from kafka_io.log_reader import messages, read_to_end, reader, silent
from kafka_io.polling import is_end

#: How long the two are stepped towards common offsets, for all partitions together.
_MEET_SECONDS = 5.0
_EXAMPLES = 5
_NOTHING: tuple[Number, int] = (0, 0)


class Difference(msgspec.Struct, frozen=True):
    """One device whose total is not the same; None: the version does not know it."""

    device_id: str
    live: str | None
    following: str | None


class Differences(msgspec.Struct, frozen=True):
    """What would change: how many devices, and by how much all totals together."""

    devices: int
    sum: str
    readings: int
    examples: list[Difference]
    #: Partitions in which the two were not at one offset in time: not compared.
    not_compared: list[int]


class ChangelogPart:
    """One partition of one version's changelog, followed transaction by transaction."""

    def __init__(
        self, consumer: Consumer, topic: str, partition: int, *, is_judged: bool = True
    ) -> None:
        self.rows: dict[bytes, bytes] = {}
        self.applied_offset = -1
        self._is_judged = is_judged
        self._marker = Marker(applied_offset=-1)
        self._held: dict[bytes, bytes] = {}
        self._consumer = consumer
        self._coming: deque[tuple[bytes, bytes]] = deque()
        self._is_at_end = False
        self._place = topic, partition
        consumer.assign([TopicPartition(topic, partition, 0)])

    def read_to_end(self, seconds: float = 30.0) -> None:
        """Take in all there is now. Raises: NotReadable, also when nothing comes for so long."""
        while not self._is_at_end:
            if not self._fetch(seconds):
                raise silent(*self._place, seconds)
            while self._take_transaction():
                pass

    def step(self, deadline: float) -> bool:
        """Take in the next transaction, waiting for it if need be; False: none came."""
        while not self._take_transaction():
            if time.monotonic() > deadline:
                return False
            self._fetch(0.05)
        return True

    def _take_transaction(self) -> bool:
        while self._coming:
            key, value = self._coming.popleft()
            if key == MARKER_KEY:
                marker = decode_marker(value)
                if self._is_judged:
                    check_follows(self._marker, marker)
                self.rows |= self._held
                self._held = {}
                self._marker = marker
                self.applied_offset = max(self.applied_offset, marker.applied_offset)
                return True
            if not key.startswith(RESERVED_PREFIX):
                self._held[key] = value
        return False

    def _fetch(self, seconds: float) -> bool:
        come = messages(self._consumer, self._place[0], seconds)
        for message in come:
            if is_end(message):
                self._is_at_end = True
            else:
                self._coming.append((message.key() or b"", message.value() or b""))
        return bool(come)


def compare(
    cluster: Cluster, view: View, live: int, following: int, partitions: int
) -> Differences:
    """Compare a view in two versions; the live one's total counts as the one before."""
    changed: dict[bytes, tuple[list[bytes], list[bytes]]] = {}
    apart: list[int] = []
    left = _MEET_SECONDS
    with reader(cluster.settings) as old_reader, reader(cluster.settings) as new_reader:
        for partition in range(partitions):
            # What is wrong with the live one is no reason not to replace it.
            old = ChangelogPart(old_reader, view.changelog(live).name, partition, is_judged=False)
            new = ChangelogPart(new_reader, view.changelog(following).name, partition)
            old.read_to_end()
            new.read_to_end()
            began = time.monotonic()
            have_met = meet(old, new, began + left)
            left -= time.monotonic() - began
            if not have_met:
                apart.append(partition)
                continue
            for key in differing(old.rows, new.rows):
                sides = changed.setdefault(key, ([], []))
                for side, part in zip(sides, (old, new), strict=True):
                    if (value := part.rows.get(key)) is not None:
                        side.append(value)
    return _summed(view, changed, apart)


def meet(old: ChangelogPart, new: ChangelogPart, deadline: float) -> bool:
    """Step the one that is behind until both have applied the same offsets.

    The one that is behind never passes an offset that both stop at, so the first is found.
    """
    while old.applied_offset != new.applied_offset:
        slower = old if old.applied_offset < new.applied_offset else new
        if not slower.step(deadline):
            return False
    return True


def differing(old: dict[bytes, bytes], new: dict[bytes, bytes]) -> Iterator[bytes]:
    """Yield the keys whose part-totals are not the same bytes."""
    for key, value in old.items():
        if new.get(key) != value:
            yield key
    for key in new:
        if key not in old:
            yield key


def _summed(
    view: View, changed: dict[bytes, tuple[list[bytes], list[bytes]]], apart: list[int]
) -> Differences:
    # Parts may differ and add up to the same.
    merged = {
        key: (view.merge(old) if old else None, view.merge(new) if new else None)
        for key, (old, new) in changed.items()
    }
    differing = {
        key: (_amount(view, old), _amount(view, new))
        for key, (old, new) in merged.items()
        if old != new
    }
    by: Number = 0
    readings = 0
    with decimal.localcontext(EXACT):
        for old, new in differing.values():
            by += (new or _NOTHING)[0] - (old or _NOTHING)[0]
            readings += (new or _NOTHING)[1] - (old or _NOTHING)[1]
    examples = [
        Difference(key.decode(), *(None if side is None else canonical(side[0]) for side in sides))
        for key, sides in sorted(differing.items())[:_EXAMPLES]
    ]
    return Differences(len(differing), canonical(by), readings, examples, apart)


def _amount(view: View, row: bytes | None) -> tuple[Number, int] | None:
    return None if row is None else view.amount(row)


def digest(cluster: Cluster, view: View, view_version: int, partitions: int) -> str:
    """Return the SHA-256 of all (device, exact total, readings) of a version, as it is now.

    One line for each device in the order of its bytes, split by tabs.
    """
    parts: list[dict[bytes, bytes]] = [{} for _ in range(partitions)]
    with reader(cluster.settings) as consumer:
        name = view.changelog(view_version).name
        for record in read_to_end(consumer, name, dict.fromkeys(range(partitions), 0)):
            if record.key is not None and not record.key.startswith(RESERVED_PREFIX):
                parts[record.partition][record.key] = record.value or b""
    hashed = hashlib.sha256()
    for key in sorted(set().union(*parts)):
        total, readings = view.amount(view.merge([part[key] for part in parts if key in part]))
        hashed.update(b"%b\t%b\t%d\n" % (key, canonical(total).encode(), readings))
    return hashed.hexdigest()
