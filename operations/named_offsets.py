"""Places in a log as a person names them: `earliest`, a time, or offsets.

Reads: offsets of the cluster. Guarantees: a start that leaves readings out of the totals is
refused with the offsets it leaves out, unless that is accepted.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import NamedTuple

from contract.errors import SettingError
from contract.topics import READINGS
from kafka_io.cluster import Cluster
from operations.errors import Refused

EARLIEST, LATEST = "earliest", "latest"
_ONE = r"[0-9]{1,9}:[0-9]{1,18}"
_OFFSETS = re.compile(rf"{_ONE}(,{_ONE})*")
_FORMS = "must be {}, a time such as 2025-04-30T10:00:00Z, or offsets such as 0:123,1:456"


class Range(NamedTuple):
    """A topic of which offsets are named; `committed`: its end is that of committed records."""

    topic: str
    partitions: int
    committed: bool = False


def start_offsets(cluster: Cluster, begin: str, *, accept_partial: bool) -> list[int]:
    """Return the offset of the readings log to start at, by partition.

    Raises: SettingError; Refused where readings would be left out.
    """
    log = Range(READINGS.name, cluster.topics([READINGS.name])[READINGS.name].partitions)
    first = cluster.first_offsets(*log[:2])
    starts = offsets_of(cluster, log, "--from", begin)
    if any(starts) and not accept_partial:
        left_out = ", ".join(f"{p}:0-{start - 1}" for p, start in enumerate(starts) if start)
        why = "the head of the log is gone" if starts == first else "a later start"
        raise Refused(
            f"{why}: totals would lack the readings at partition:offsets {left_out};"
            " --accept-partial continues without them"
        )
    return starts


def offsets_of(cluster: Cluster, log: Range, option: str, text: str | None) -> list[int]:
    """Return an offset of each partition; None: its first for --from, its end for --to.

    A time is that of Kafka's records, not of the readings. Partitions that OFFSETS does not
    name have the default. Raises: SettingError.
    """
    name = EARLIEST if option == "--from" else LATEST
    first = cluster.first_offsets(log.topic, log.partitions)
    ends = cluster.end_offsets(log.topic, log.partitions, committed=log.committed)
    default = first if name == EARLIEST else ends
    if text is None or text == name:
        return default
    if not _OFFSETS.fullmatch(text):
        at = _milliseconds(option, name, text)
        found = cluster.offsets_at(log.topic, log.partitions, at)
        return [min(offset, end) for offset, end in zip(found, ends, strict=True)]
    offsets = list(default)
    for pair in text.split(","):
        partition, offset = map(int, pair.split(":"))
        if partition >= log.partitions:
            last = log.partitions - 1
            raise SettingError(option, f"{log.topic} has partitions 0 to {last}", value=pair)
        if not first[partition] <= offset <= ends[partition]:
            bounds = f"{first[partition]} to {ends[partition]}"
            raise SettingError(option, f"partition {partition} has offsets {bounds}", value=pair)
        offsets[partition] = offset
    return offsets


def _milliseconds(option: str, name: str, text: str) -> int:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise SettingError(option, _FORMS.format(name), value=text) from None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return int(at.timestamp() * 1000)
