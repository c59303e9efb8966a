"""What a worker has in the current generation, as agent, consumer, `/ready` and watchdog ask it.

Pure; assignment.py changes it.
"""

from __future__ import annotations

from stream_app import metrics
from stream_app.changelog.takeover import Takeover
from stream_app.errors import PartitionRefusal
from stream_app.ownership.processor import PartitionPipe


class Holdings:
    """The partitions of this worker: on their way to it, worked on, or set aside."""

    def __init__(self, takeover: Takeover) -> None:
        """Begin with no partition."""
        self._takeover = takeover
        self.pipes: dict[int, PartitionPipe] = {}
        # Not ready before the first assignment either.
        self.is_recovering = True

    def positions(self) -> dict[int, int]:
        """Return the next source offset of each partition that is worked on."""
        return self._takeover.next_offsets()

    def next_offset(self, partition: int) -> int | None:
        """Return what the group may show as committed: everything before it is applied."""
        pipe = self.pipes.get(partition)
        return None if pipe is None else pipe.applied_offset + 1

    def partition(self, partition: int, generation: int) -> PartitionPipe | None:
        """Return a partition that is worked on; None for what was fetched before a rebalance."""
        pipe = self.pipes.get(partition)
        if pipe is None or pipe.generation != generation:
            metrics.CHUNKS_STALE.inc()
            return None
        return pipe

    def refuses_all(self) -> bool:
        """Tell whether a person has to act before this worker can work on any of its partitions."""
        return self._takeover.refuses_all()

    def refusals(self) -> dict[int, PartitionRefusal]:
        """Return why partitions are set aside, those of this worker."""
        return dict(self._takeover.refused)

    def forgotten(self) -> list[int]:
        """Return partitions that are neither worked on nor set aside: there must be none."""
        return sorted(self._takeover.partitions - self.pipes.keys() - self.refusals().keys())

    def not_ready_because(self) -> list[str]:
        """Return why this worker does not work on all it should, for people; empty: ready."""
        if self.is_recovering:
            return ["recovering from the changelog"]
        return [
            f"partition {partition} waits: {refusal.what}"
            for partition, refusal in sorted(self.refusals().items())
        ] + [f"partition {p} is not worked on, and nobody knows why" for p in self.forgotten()]
