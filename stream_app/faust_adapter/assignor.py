"""Faust's assignor, which never shares out a topic that the broker does not know yet."""

from __future__ import annotations

from typing import Any

from faust.assignor.partition_assignor import PartitionAssignor

from stream_app.errors import RestartNeeded
from stream_app.process.exit import end_process


class KnownTopicsAssignor(PartitionAssignor):  # type: ignore[misc]
    """Decides in the group's leader who gets which partition.

    A broker that has just started may not know its topics for a moment. Faust then gives nobody
    their partitions, and every worker waits with nothing to do until the metadata's age, five
    minutes, makes it look again.
    """

    def assign(self, cluster: Any, member_metadata: Any) -> Any:
        """Share out the partitions; ends the process, to be started again, where it cannot."""
        wanted = {topic for each in member_metadata.values() for topic in each.subscription}
        unknown = sorted(topic for topic in wanted if not cluster.partitions_for_topic(topic))
        if unknown:
            reason = f"the broker does not know {', '.join(unknown)} yet, nobody would get it"
            end_process("sharing out partitions", RestartNeeded(reason))
        return super().assign(
            KnownPartitions(cluster, self.app.conf.topic_partitions), member_metadata
        )


class KnownPartitions:
    """The cluster without partitions that the view version was not born in: nobody counts them."""

    def __init__(self, cluster: Any, partitions: int) -> None:
        """`partitions` is how many the view version counts."""
        self._cluster, self._partitions = cluster, partitions

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        """Return those of a topic that are shared out."""
        found: set[int] | None = self._cluster.partitions_for_topic(topic)
        return found and {partition for partition in found if partition < self._partitions}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cluster, name)
