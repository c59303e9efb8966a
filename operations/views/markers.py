"""Finds the newest marker of each changelog partition without reading the changelog.

Reads: the tails of the partitions, committed records only. The marker is the last record of a
commit: the last before the end, or, after a transaction, two offsets before it; what lies behind
it (an aborted transaction, control records) makes the search go further back, at last to the
first offset.
"""

from __future__ import annotations

from confluent_kafka import Consumer

from contract.changelog import MARKER_KEY, Marker, check_follows, decode_marker
from contract.errors import DoesNotFollow
from contract.view import View
from kafka_io.cluster import Cluster
from kafka_io.log_reader import read_to_end, reader

#: How many offsets before the end a search begins; None: at the first one.
_STEPS_BACK = (2, 64, 4_096, None)


def read_markers(
    cluster: Cluster,
    view: View,
    view_version: int,
    partitions: int,
    stale: dict[int, DoesNotFollow] | None = None,
) -> dict[int, Marker]:
    """Return the marker of each partition of a view that has one.

    One that does not follow the one before it is noted in `stale`, and passed over: a view
    version that has one is still to be looked at, and to be replaced. Raises: NotReadable,
    CorruptRecord; DoesNotFollow where `stale` is None.
    """
    name = view.changelog(view_version).name
    ends = cluster.end_offsets(name, partitions, committed=True)
    found: dict[int, Marker] = {}
    with reader(cluster.settings) as consumer:
        for step in _STEPS_BACK:
            starts = {
                partition: 0 if step is None else max(0, end - step)
                for partition, end in enumerate(ends)
                if partition not in found and end > 0
            }
            if not starts:
                break
            found |= _last_markers(consumer, name, starts, stale)
    return found


def _last_markers(
    consumer: Consumer,
    topic: str,
    starts: dict[int, int],
    stale: dict[int, DoesNotFollow] | None = None,
) -> dict[int, Marker]:
    found: dict[int, Marker] = {}
    for record in read_to_end(consumer, topic, starts):
        if record.key == MARKER_KEY and record.value is not None:
            marker = decode_marker(record.value)
            try:
                check_follows(found.get(record.partition), marker)
            except DoesNotFollow as error:
                if stale is None:
                    raise
                stale[record.partition] = error
                continue
            found[record.partition] = marker
    return found
