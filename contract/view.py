"""What a view is: all that worker, changelog, readers and replay know of one.

A view is what readings add up to, in rows: key -> value, each row the sum of its part in every
source partition. The rest is the same for all views, and knows none by name: the marker and the
birth record (contract/changelog.py), commits, fences, recovery, followers, replay.

To add one: a module with these functions, and a line in contract/views.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from contract.decimals import Number
from contract.decoding import Reading
from contract.topics import Topic, app_id, changelog_topic

#: What a view has folded and not yet written, in a shape of its own. Its length is the number of
#: rows that a commit of it writes, or near it: commits are as large as that allows.
Deltas = dict[Any, Any]
Row = tuple[bytes, bytes]


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
    rows: Callable[[Iterable[tuple[bytes, bytes | None]], Deltas], list[Row]]
    #: Truthy only for what `rows` can have written: reading such a value later cannot fail.
    is_row: Callable[[bytes], object]
    #: Returns how many readings rows hold together; of all rows that is what the marker counts.
    readings: Callable[[Iterable[Row]], int]
    #: Adds up the parts of a row that several source partitions have.
    merge: Callable[[Sequence[bytes]], bytes]
    #: Returns what a row holds: exact sum, number of readings.
    amount: Callable[[bytes], tuple[Number, int]]
    #: The view's clock: a partition that is caught up commits after this at the latest. 0: at once.
    commit_seconds: float = 0.0
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

    @property
    def _writers(self) -> str:
        return "" if self.has_bare_ids else f"{self.name}-"
