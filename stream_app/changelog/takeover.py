"""How partitions come to a worker: fenced, then recovered, and only then worked on.

Each step relies on the one before it, so a partition that comes to a step without it is
an error: a changelog that was read before the fence may have grown since. A partition that does
not fit is refused alone. Pure; the ownership performs the steps against Kafka, the tests in
tests/model against a simulated one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from contract.changelog import Birth
from contract.view import View
from stream_app.changelog.origin import LostOffsets, check_birth, check_position, go_on_without
from stream_app.changelog.recovery import Found
from stream_app.changelog.store_records import require_marker
from stream_app.errors import WAITS_FOR_KAFKA, PartitionRefusal, RestartNeeded
from stream_app.partition.fold_state import PartitionFold
from stream_app.store.rocksdb_store import PartitionStore


class Taken(NamedTuple):
    """A partition that may be worked on: its store, and the fold after its marker."""

    store: PartitionStore
    fold: PartitionFold


class Takeover:
    """The partitions of one generation, on their way to this worker."""

    def __init__(
        self,
        view: View,
        expected_birth: Birth,
        accepted: Mapping[int, Collection[LostOffsets]] | None = None,
        *,
        keep_days: int = 0,
    ) -> None:
        """Begin with no partition; `accepted` are lost offsets to continue without.

        `keep_days` as in PartitionFold.
        """
        self.view = view
        self._expected_birth = expected_birth
        self._accepted = accepted or {}
        self._keep_days = keep_days
        self._fenced: dict[int, tuple[int, int]] = {}
        self.taken: dict[int, Taken] = {}
        #: What their markers say, also of those that are refused then.
        self.applied_offsets: dict[int, int] = {}
        self.refused: dict[int, PartitionRefusal] = {}
        #: The refusals already logged: each once, however often a partition is tried again.
        self.logged: dict[int, str] = {}

    def fenced(self, writers: Mapping[int, tuple[int, int]]) -> None:
        """Note who alone can commit to these partitions now, by producer id and epoch."""
        self._fenced.update(writers)

    def take(
        self, recovered: Mapping[int, Found], replaced: Mapping[int, PartitionRefusal]
    ) -> None:
        """Take what is recovered and has passed its checks; whatever is taken may be opened."""
        for partition, found in recovered.items():
            if isinstance(found, PartitionRefusal):
                self.refuse(found)
                continue
            self.recovered(partition, found.store, found.birth)
            if partition in self.taken and partition in replaced:
                self.refuse(replaced[partition])

    def recovered(self, partition: int, store: PartitionStore, birth: Birth) -> None:
        """Take a store that has all of the changelog; refuses one that is not this view's.

        Raises: RestartNeeded without a fence.
        """
        if partition not in self._fenced:
            raise RestartNeeded(f"partition {partition}: recovered before it was fenced")
        try:
            check_birth(birth, self._expected_birth, partition)
        except PartitionRefusal as refusal:
            return self.refuse(refusal)
        self.refused.pop(partition, None)
        marker, writer = require_marker(store, partition), self._fenced[partition]
        self.applied_offsets[partition] = marker.applied_offset
        fold = PartitionFold(self.view, partition, marker, writer, keep_days=self._keep_days)
        self.taken[partition] = Taken(store, fold)

    def refuse(self, refusal: PartitionRefusal) -> None:
        """Do not work on a partition, until it is recovered again."""
        self.taken.pop(refusal.partition, None)
        self.refused[refusal.partition] = refusal

    def place(self, partition: int) -> str:
        """Name a partition for people."""
        return self.view.place(partition)

    @property
    def partitions(self) -> AbstractSet[int]:
        """All partitions of this worker in this generation."""
        return self._fenced.keys()

    def refuses_all(self) -> bool:
        """Return whether there are partitions, and a person has to act before any is worked on."""
        return (
            bool(self._fenced)
            and self._fenced.keys() <= self.refused.keys()
            and not any(refusal.reason in WAITS_FOR_KAFKA for refusal in self.refused.values())
        )

    def next_offsets(self) -> dict[int, int]:
        """Return the source offset to fetch next, by partition: the marker decides."""
        return {partition: taken.fold.next_offset for partition, taken in self.taken.items()}

    def check_positions(
        self,
        first: Mapping[int, int],
        end: Mapping[int, int],
        all_lack_from: Mapping[int, int] | None = None,
    ) -> None:
        """Compare the markers with the readings topic; refuses those that do not fit.

        `all_lack_from` is what the view that is furthest behind wants next, by partition.
        """
        for partition in first.keys() & self.taken.keys():
            fold = self.taken[partition].fold
            try:
                following = check_position(
                    partition,
                    fold.marker,
                    first[partition],
                    end[partition],
                    self._accepted.get(partition, ()),
                    (all_lack_from or {}).get(partition),
                )
            except PartitionRefusal as refusal:
                self.refuse(refusal)
                continue
            if following > fold.next_offset:
                lost = LostOffsets(fold.next_offset, following - 1)
                go_on_without(self.view, partition, lost)
                fold.skip_to(following)
