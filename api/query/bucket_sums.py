"""Sums by bucket and group, in order of the buckets, out of a series that has them by group.

What is held at a time is bounded: where an answer has more sums than that, the series is asked
window by window of the buckets.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import islice
from typing import NamedTuple

from api.errors import BadRequest
from api.query.time_buckets import QUARTER_SECONDS
from api.view.series import Filter, Group, Sum
from api.view.series_copy.snapshot import SeriesSnapshot

#: Sums held at a time, some 200 bytes each; below that one pass over the series is enough.
HELD = 100_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Grouping(NamedTuple):
    """What distinguishes the rows of a bucket."""

    by_device: bool
    by_location: bool


class BucketSum(NamedTuple):
    """What a group has in a bucket, None: no reading. `names` has what it is grouped by."""

    start: str
    names: tuple[str, ...]
    sum: Sum | None


def bucket_sums(
    series: SeriesSnapshot,
    edges: Sequence[int],
    zone: tzinfo,
    only: Filter,
    grouping: Grouping,
    *,
    fill: bool,
    descending: bool,
    most: int,
) -> Iterator[BucketSum]:
    """Yield the sums; with `fill` of every bucket of each group that has a reading in one.

    Raises: BadRequest where groups times buckets are more than `most`.
    """
    count = len(edges) - 1
    if count < 1:
        return
    if count > most:
        raise too_many(count, most)
    windows = _Windows(series, edges, zone, only, grouping, fill, descending)
    if count <= HELD:
        groups = list(islice(windows.groups(edges), HELD // count + 1))
        if len(groups) * count <= HELD:
            yield from windows.rows(0, count, groups)
            return
        del groups
    names = windows.names()
    if len(names) * count > most:
        raise too_many(len(names) * count, most)
    width = max(1, HELD // max(1, len(names)))
    begins = range(0, count, width)
    for begin in reversed(begins) if descending else begins:
        end = min(begin + width, count)
        groups_there = windows.groups(edges[begin : end + 1])
        if fill:
            groups_there = _filled(groups_there, names, end - begin)
        yield from windows.rows(begin, end, groups_there)


def too_many(buckets: int, most: int) -> BadRequest:
    """Return the error of who asks for too much."""
    return BadRequest(
        f"this query has {buckets} buckets, and the limit is {most}: use a longer interval,"
        " a shorter period or fewer groups"
    )


class _Windows(NamedTuple):
    """What all windows of an answer have in common."""

    series: SeriesSnapshot
    edges: Sequence[int]
    zone: tzinfo
    only: Filter
    grouping: Grouping
    fill: bool
    descending: bool

    def groups(self, edges: Sequence[int]) -> Iterator[Group]:
        """Yield the groups with a reading from the first of these edges to the last."""
        by_device, by_location = self.grouping
        return self.series.groups(edges, self.only, by_device=by_device, by_location=by_location)

    def names(self) -> list[tuple[str | None, str | None]]:
        """Return the names of all groups."""
        whole = self.groups([self.edges[0], self.edges[-1]])
        return [(group.device_id, group.location) for group in whole]

    def rows(self, begin: int, end: int, groups: Iterable[Group]) -> Iterator[BucketSum]:
        """Yield the sums of the buckets from `begin` to `end`."""
        if end - begin > 1:
            groups = list(groups)
        places = range(end - begin)
        for place in reversed(places) if self.descending else places:
            start = self._shown(self.edges[begin + place])
            for group in groups:
                found = group.buckets[place]
                if found is not None or self.fill:
                    names = tuple(name for name in group[:2] if name is not None)
                    yield BucketSum(start, names, found)

    def _shown(self, edge: int) -> str:
        start = _EPOCH + timedelta(seconds=edge * QUARTER_SECONDS)
        return start.astimezone(self.zone).isoformat()


def _filled(
    groups: Iterator[Group], names: Iterable[tuple[str | None, str | None]], count: int
) -> Iterator[Group]:
    """Yield a group for each name, in their order; those that there are not have no reading."""
    following = next(groups, None)
    for name in names:
        if following is not None and following[:2] == name:
            yield following
            following = next(groups, None)
        else:
            yield Group(*name, [None] * count)
