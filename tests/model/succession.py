"""I1, I12, I17: what former owners write to a changelog, and what the next ones make of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.model.violations import Violation

if TYPE_CHECKING:
    from tests.model.changelogs import Changelogs
    from tests.model.committing import AppendRequest
    from tests.model.kafka_log import Producer, SimLog

MARKER = b"\x00applied"


def check_owner(request: AppendRequest) -> None:
    """I1: nothing of a former owner comes into a changelog that the next one works on as read.

    A batch that is under way for longer than is accounted for may: then somebody must notice.
    Then the partition may be set aside, and whatever else comes into it has no reader: who works
    on it one day reads it anew.
    """
    for (read_by, partition), batches in request.changelogs.reading.items():
        if partition == request.partition and read_by > request.producer.order:
            batches.append(request)
    _check_unread(request)


def _check_unread(request: AppendRequest) -> None:
    changelogs, partition, producer = request.changelogs, request.partition, request.producer
    reader = changelogs.has_read.get(partition, 0)
    if reader <= producer.order:
        return
    if not request.is_held:
        what = f"{producer} wrote, {reader} had read it"
        raise Violation("I1", f"{request.log.topic} {partition}: {what}")
    assert request.answer is not None
    first = request.answer + 1 - len(request.updates)
    changelogs.stale[partition] = (reader, first, len(request.updates))


def check_read(changelogs: Changelogs, partition: int, producer: Producer, read: range) -> None:
    """These offsets of a changelog were read for good: its reader works on the partition now.

    I17: nobody who has read a commit that does not follow works on what stands there.
    """
    if breaks_the_chain(changelogs[partition], read):
        raise Violation("I17", f"partition {partition} is worked on, its commits do not follow")
    batches = changelogs.reading.pop((producer.order, partition))
    if producer.order > changelogs.has_read.get(partition, 0):
        changelogs.has_read[partition] = producer.order
        for request in batches:
            _check_unread(request)


def check_alone(changelogs: Changelogs, partition: int, producer: Producer, written: int) -> None:
    """I12: an owner does not go on after a former owner's batch that it has not read.

    One record can hide, for one commit, as a control record of its own.
    """
    reader, first, count = changelogs.stale.get(partition, (0, 0, 0))
    if reader == producer.order and first < written and count > 1:
        raise Violation("I12", f"changelog {partition}: a foreign batch at {first}, {written} too")


def breaks_the_chain(log: SimLog, among: range = range(1 << 62)) -> bool:
    """Tell whether a marker goes back, or continues from less than the one before it."""
    applied = -1
    for batch in log.batches:
        if batch.is_committed():
            for record in batch.records:
                if record.key == MARKER:
                    marker = json.loads(record.value or b"")
                    previous = marker["previous"]
                    least = marker["applied_offset"] if previous is None else previous
                    if min(least, marker["applied_offset"]) < applied and record.offset in among:
                        return True
                    applied = marker["applied_offset"]
    return False
