"""What a view is: all that worker, changelog, readers and replay know of one.

A view is what readings add up to, in rows: key -> value, each row the sum of its part in every
source partition. The rest is the same for all views, and knows none by name: the marker and the
birth record (contract/changelog.py), commits, fences, recovery, followers, replay.

To add one: a module with these functions, and a line in contract/views.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from contract.decimals import Number
from contract.decoding import Reading
from contract.quarter_sums import QuarterSums
from contract.topics import Topic, app_id, changelog_topic

#: What a view has folded and not yet written, in a shape of its own: a dict, or what has `clear`
#: too. Its length is the number of rows that a commit of it writes, or near it: commits are as
#: large as that allows.
Deltas = Any
Row = tuple[bytes, bytes]
#: A row as it is now; None: it is removed.
Update = tuple[bytes, bytes | None]


@dataclass(frozen=True)
class Retention:
    """How a view adds up what is old, so that all its sums stay. A cutoff is an hour since 1970."""

    #: Returns the cutoff for a time (seconds since 1970) and a number of days that are kept.
    cutoff_at: Callable[[float, int], int]
    #: Has what is older than a cutoff added up, in deltas.
    cut: Callable[[Deltas, int], None]
    #: Returns where to look on for old rows at a row's key; None: it is one.
    look_on: Callable[[bytes, int], bytes | None]
    #: Adds old stored rows up in deltas, which then remove them.
    take_old: Callable[[Iterable[Row], Deltas], None]
    #: Goes through rows in order as they are where all of them is up to a cutoff.
    rolled_up: Callable[[Iterable[Row], int], Iterator[Row]]


@dataclass(frozen=True)
class View:
    """One view. Pure: the functions know no Kafka, no disk and no clock."""

    #: Stands in the names of its changelog topic and of its store's directory.
    name: str
    #: Adds readings to deltas, exactly and in any order. Runs for each reading.
    fold: Callable[[Iterable[Reading], Deltas], None]
    #: Returns the keys of the rows that deltas change, in the store's order (that of bytes).
    keys: Callable[[Deltas], list[bytes]]
    #: Adds deltas to the rows as they are stored (None: there is none yet); returns the new rows
    #: in that order. Given every key of `keys` once. Raises: CorruptRecord, KeyError, ValueError.
    rows: Callable[[Iterable[tuple[bytes, bytes | None]], Deltas], list[Update]]
    #: Truthy only for what `rows` can have written: reading such a value later cannot fail.
    is_row: Callable[[bytes], object]
    #: Returns how many readings rows hold together; of all rows that is what the marker counts.
    readings: Callable[[Iterable[Row]], int]
    #: Adds up the parts of a row that several source partitions have.
    merge: Callable[[Sequence[bytes]], bytes]
    #: Returns what a row holds: exact sum, number of readings.
    amount: Callable[[bytes], tuple[Number, int]]
    #: Names a row for a person, by column: first whose it is. Raises: CorruptRecord.
    name_row: Callable[[bytes], dict[str, str]]
    #: Adds readings that are folded already, by device, location and quarter, to deltas; leaves
    #: the cells as they are. With it, readings are folded once for all such views of a version.
    add_cells: Callable[[QuarterSums, Deltas], None] | None = None
    #: Makes empty deltas.
    new_deltas: Callable[[], Deltas] = dict
    #: The view's clock: a partition that is caught up commits after this at the latest. 0: at once.
    commit_seconds: float = 0.0
    #: How old rows are added up; None: none is ever removed.
    retention: Retention | None = None
    #: Whether its commits carry the quarantine records: one view of a version does that.
    quarantines: bool = False
    #: Whether its writers' ids are without its name: they are older than other views.
    has_bare_ids: bool = False

    def changelog(self, view_version: int) -> Topic:
        """Return its changelog topic in a view version."""
        return changelog_topic(view_version, self.name)

    def transactional_id(self, view_version: int, partition: int) -> str:
        """Name the one writer of its partition; never change it without a drain."""
        return f"{app_id(view_version)}-{self._writers}{partition}"

    def probe_transactional_id(self, view_version: int, partition: int) -> str:
        """Name the scratch writer that asks a log whether it refuses fenced writers."""
        return f"{app_id(view_version)}-{self._writers}probe-{partition}"

    def place(self, partition: int) -> str:
        """Name a partition for people; of a view that came later, the view too."""
        where = f"partition {partition}"
        return where if self.has_bare_ids else f"{where} of {self.name}"

    @property
    def _writers(self) -> str:
        return "" if self.has_bare_ids else f"{self.name}-"
