"""Where a replay begins: `--from` as offsets of the readings log, and what lies before them.

Reads: offsets of the cluster. Guarantees: a start that leaves readings out is refused with the
offsets it leaves out, unless that is accepted.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from contract.errors import SettingError
from contract.topics import READINGS
from deploy.errors import Refused
from stream_app.cluster import Cluster

EARLIEST = "earliest"
_ONE = r"[0-9]{1,9}:[0-9]{1,18}"
_OFFSETS = re.compile(rf"{_ONE}(,{_ONE})*")
_FORMS = "must be earliest, a time such as 2025-04-30T10:00:00Z, or offsets such as 0:123,1:456"


def start_offsets(cluster: Cluster, begin: str, *, accept_partial: bool) -> list[int]:
    """Return the offset to start at, by partition.

    A time is that of Kafka's records, not of the readings; partitions that OFFSETS does not
    name start at their first. Raises: SettingError; Refused where readings would be left out.
    """
    partitions = cluster.topics([READINGS.name])[READINGS.name].partitions
    first = cluster.first_offsets(READINGS.name, partitions)
    if begin == EARLIEST:
        starts = first
    elif _OFFSETS.fullmatch(begin):
        starts = _named(cluster, begin, first)
    else:
        starts = cluster.offsets_at(READINGS.name, partitions, _milliseconds(begin))
    if any(starts) and not accept_partial:
        left_out = ", ".join(f"{p}:0-{start - 1}" for p, start in enumerate(starts) if start)
        why = "the head of the log is gone" if starts == first else "a later start"
        raise Refused(
            f"{why}: totals would lack the readings at partition:offsets {left_out};"
            " --accept-partial goes on without them"
        )
    return starts


def _named(cluster: Cluster, text: str, first: list[int]) -> list[int]:
    ends = cluster.end_offsets(READINGS.name, len(first))
    starts = list(first)
    for pair in text.split(","):
        partition, offset = map(int, pair.split(":"))
        if partition >= len(first):
            raise SettingError(
                "--from", f"{READINGS.name} has partitions 0 to {len(first) - 1}", value=pair
            )
        if not first[partition] <= offset <= ends[partition]:
            raise SettingError(
                "--from",
                f"partition {partition} has offsets {first[partition]} to {ends[partition]}",
                value=pair,
            )
        starts[partition] = offset
    return starts


def _milliseconds(text: str) -> int:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise SettingError("--from", _FORMS, value=text) from None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return int(at.timestamp() * 1000)
