"""Faust's assignor, which never shares out a topic that the broker does not know yet."""

from __future__ import annotations

from typing import Any

from faust.assignor.partition_assignor import PartitionAssignor

from stream_app.ending import end_process
from stream_app.errors import RestartNeeded


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
        return super().assign(cluster, member_metadata)
