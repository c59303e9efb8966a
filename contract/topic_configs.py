"""How much a topic's config matters: what totals need, what should be, what only makes it quick.

Pure. What a start refuses of the topics that there are is in contract/cluster_rules.py.
"""

from __future__ import annotations

from enum import StrEnum

from contract.cluster_rules import UNCLEAN
from contract.topics import QUARANTINE


class Need(StrEnum):
    """What follows where a cluster has it otherwise."""

    #: Totals could be wrong: nothing is made, nothing starts (exit 3).
    REQUIRED = "required"
    #: Totals are right, something else is at risk: set where the cluster lets us, and warned of.
    WANTED = "wanted"
    #: Only how quick or large things are: set where the cluster lets us, and compared.
    CHECKED = "checked"


_NEEDS = {
    "cleanup.policy": Need.REQUIRED,
    UNCLEAN: Need.REQUIRED,
    "min.compaction.lag.ms": Need.REQUIRED,
    "partitions": Need.WANTED,
    "topic": Need.WANTED,
    "replication factor": Need.WANTED,
    "retention.ms": Need.WANTED,
    "retention.bytes": Need.WANTED,
    "max.message.bytes": Need.WANTED,
    "min.insync.replicas": Need.WANTED,
    "segment.bytes": Need.CHECKED,
    "segment.ms": Need.CHECKED,
    "min.cleanable.dirty.ratio": Need.CHECKED,
    "message.timestamp.type": Need.CHECKED,
}
#: More is as good.
_AT_LEAST = {"max.message.bytes", "min.compaction.lag.ms", "min.insync.replicas"}
#: What a managed cluster may not show of a topic, though it has it.
NOT_SHOWN = "not shown"


def need_of(topic: str, config: str) -> Need:
    """Return how much a config of a topic matters; the topic by its name in Kafka."""
    if topic == QUARANTINE.name and config == "cleanup.policy":
        # Its records could be lost; totals stay right.
        return Need.WANTED
    return _NEEDS[config]


def is_met(config: str, declared: str, found: str) -> bool:
    """Return whether a config is as declared, or better."""
    if config in _AT_LEAST and found.isdecimal():
        return int(found) >= int(declared)
    return found == declared
