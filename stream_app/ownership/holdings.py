"""What a worker has of a view in the current generation. Pure; assignment.py changes it."""

from __future__ import annotations

from collections.abc import Collection

from stream_app.changelog.takeover import Takeover
from stream_app.errors import PartitionRefusal
from stream_app.ownership.processor import PartitionProcessor


class Holdings:
    """A view's partitions of this worker: on their way to it, worked on, or set aside."""

    def __init__(self, takeover: Takeover) -> None:
        self._takeover = takeover
        self.processors: dict[int, PartitionProcessor] = {}
        # Not ready before the first assignment either.
        self.is_recovering = True

    def positions(self) -> dict[int, int]:
        """Return the next source offset of each partition that is worked on."""
        return self._takeover.next_offsets()

    def applied_offsets(self) -> dict[int, int]:
        """Return how far each partition is applied, set aside or not; none of which it is unknown.

        From any thread.
        """
        applied = {
            partition: processor.applied_offset
            for partition, processor in list(self.processors.items())
        }
        return self._takeover.applied_offsets | applied

    def refuses_all(self) -> bool:
        """Return whether a person must act before this worker can work on any of its partitions."""
        return self._takeover.refuses_all()

    def refusals(self) -> dict[int, PartitionRefusal]:
        """Return why partitions are set aside, those of this worker."""
        return dict(self._takeover.refused)

    def forgotten(self) -> list[int]:
        """Return partitions that are neither worked on nor set aside: there must be none."""
        return sorted(self._takeover.partitions - self.processors.keys() - self.refusals().keys())

    def partitions(self) -> Collection[int]:
        """Return all partitions that the group has given to this worker."""
        return self._takeover.partitions

    def not_ready_because(self) -> list[str]:
        """Return why this worker does not work on all it should, for people; empty: ready."""
        place = self._takeover.place
        return [
            f"{place(partition)} waits: {refusal.what}"
            for partition, refusal in sorted(self.refusals().items())
        ] + [f"{place(p)} is not worked on, for no known reason" for p in self.forgotten()]
