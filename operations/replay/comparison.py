"""Compares a view in two view versions exactly, also while readings keep coming.

Reads: both changelogs, committed records only. A partition of one version and the same of the
other are both brought to one applied offset, transaction by transaction: only there the
question "same rows?" has a meaning. Writes: rows on disk below ENERGY_HOME, gone at the end.
Memory: the rows that differ.
"""

from __future__ import annotations

import decimal
import hashlib
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from contract.changelog import RESERVED_PREFIX
from contract.decimals import EXACT, Number, canonical
from contract.view import Row, View
from kafka_io.cluster import Cluster
from kafka_io.log_reader import read_to_end, reader
from operations.changelog.part import ChangelogPart, meet
from operations.changelog.sorted_rows import SortedRows, side_by_side, sorted_rows

#: How long the two are stepped towards common offsets, for all partitions together.
_MEET_SECONDS = 5.0
_EXAMPLES = 5


class Difference(msgspec.Struct, frozen=True):
    """One row that is not the same; None: the version does not have it.

    `row` names it by column: the device, of a series also its location and hour.
    """

    row: dict[str, str]
    live: str | None
    following: str | None


class Differences(msgspec.Struct, frozen=True):
    """What would change of a view: how many rows, of how many devices, by how much together."""

    view: str
    rows: int
    devices: int
    sum: str
    readings: int
    examples: list[Difference]
    #: Partitions in which the two were not at one offset in time: not compared.
    not_compared: list[int]


def compare(
    cluster: Cluster, home: Path, view: View, versions: tuple[int, int], partitions: int
) -> Differences:
    """Compare a view in two versions; the first one's rows count as those before."""
    changed: dict[bytes, tuple[list[bytes], list[bytes]]] = {}
    apart: list[int] = []
    left = _MEET_SECONDS
    old_name, new_name = (view.changelog(version).name for version in versions)
    for partition in range(partitions):
        with (
            reader(cluster.settings) as old_reader,
            reader(cluster.settings) as new_reader,
            sorted_rows(home) as old_rows,
            sorted_rows(home) as new_rows,
        ):
            # What is wrong with the live one is no reason not to replace it.
            old = ChangelogPart(old_reader, (old_name, partition), old_rows, is_judged=False)
            new = ChangelogPart(new_reader, (new_name, partition), new_rows)
            old.read_to_end()
            new.read_to_end()
            began = time.monotonic()
            have_met = meet(old, new, began + left)
            left -= time.monotonic() - began
            if not have_met:
                apart.append(partition)
                continue
            cutoff = max(old.marker.cutoff, new.marker.cutoff)
            as_of = [_as_of(view, rows, cutoff) for rows in (old_rows, new_rows)]
            for key, *values in side_by_side(*as_of):
                if values[0] == values[1]:
                    continue
                sides = changed.setdefault(key, ([], []))
                for side, value in zip(sides, values, strict=True):
                    if value is not None:
                        side.append(value)
    return _summed(view, changed, apart)


def _as_of(view: View, rows: SortedRows, cutoff: int) -> Iterator[Row]:
    """Go through rows as they are where all before the later cutoff of the two is added up.

    What is older one version may have by the hour and the other not: only its sums can be the same.
    """
    found = rows.items()
    return view.retention.rolled_up(found, cutoff) if view.retention and cutoff else found


def _summed(
    view: View, changed: dict[bytes, tuple[list[bytes], list[bytes]]], apart: list[int]
) -> Differences:
    # Parts may differ and add up to the same.
    merged = {
        key: (view.merge(old) if old else None, view.merge(new) if new else None)
        for key, (old, new) in changed.items()
    }
    found = {key: sides for key, sides in sorted(merged.items()) if sides[0] != sides[1]}
    by: Number = 0
    readings = 0
    with decimal.localcontext(EXACT):
        for old, new in found.values():
            for sign, row in ((-1, old), (1, new)):
                if row is not None:
                    total, counted = view.amount(row)
                    by += sign * total
                    readings += sign * counted
    names = [view.name_row(key) for key in found]
    return Differences(
        view.name,
        len(found),
        len({next(iter(name.values())) for name in names}),
        canonical(by),
        readings,
        [
            Difference(name, *_shown(view, *sides))
            for name, sides in zip(names[:_EXAMPLES], found.values(), strict=False)
        ],
        apart,
    )


def _shown(view: View, *rows: bytes | None) -> list[str | None]:
    """Show the sums of both sides; where these are the same, all that the rows say."""
    sums = [None if row is None else canonical(view.amount(row)[0]) for row in rows]
    if len(set(sums)) > 1:
        return sums
    return [None if row is None else row.decode() for row in rows]


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
