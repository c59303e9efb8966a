"""The topics: their names, made once, and their configs."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from contract.prefix import prefixed


class Topic(NamedTuple):
    """A topic as it must be on the broker.

    Shape: `base` is the name without ENERGY_PREFIX; `configs` are Kafka's names and values;
    partitions and replication are settings. `made_with` is set too when the topic is made, and not
    held against one that was made before.
    """

    base: str
    configs: dict[str, str]
    made_with: Mapping[str, str] = MappingProxyType({})

    @property
    def name(self) -> str:
        """Return the name in Kafka."""
        return prefixed(self.base)


#: The broker stamps the records: what is stamped more than an hour ahead Kafka refuses, so that a
#: worker whose clock is wrong would write nothing. The quarantine is listed by these stamps.
_STAMPED_BY_BROKER = {"message.timestamp.type": "LogAppendTime"}


#: What the API calls the readings, whatever their topic is called.
DATA_SOURCE = "energy_consumption"

READINGS = Topic(
    DATA_SOURCE,
    {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"},
)
QUARANTINE = Topic(
    "energy_consumption_quarantine",
    {
        "cleanup.policy": "delete",
        "retention.ms": "-1",
        "retention.bytes": "-1",
        "max.message.bytes": "2097152",
    },
    _STAMPED_BY_BROKER,
)
#: One partition: the pointer and the versions have one order.
VIEWS = Topic("energy_views", {"cleanup.policy": "compact"})
#: One partition: where a position is never depends on how many there are. Small segments,
#: because an import reads all of it when it begins.
IMPORTS = Topic(
    "energy_imports",
    {
        "cleanup.policy": "compact",
        "segment.bytes": "16777216",
        "segment.ms": "3600000",
        "min.cleanable.dirty.ratio": "0.1",
    },
)

#: Kafka's default. The worker's batches have up to 1,000,000 bytes.
CHANGELOG_MESSAGE_BYTES = 1_048_588
#: So long a reader may be behind and is shown every commit whole: required, and what readers go by.
MIN_COMPACTION_LAG_MS = 300_000
_CHANGELOG_CONFIGS = {
    "cleanup.policy": "compact",
    "segment.bytes": "67108864",
    "segment.ms": "600000",
    "min.cleanable.dirty.ratio": "0.1",
    "min.compaction.lag.ms": str(MIN_COMPACTION_LAG_MS),
    "max.message.bytes": str(CHANGELOG_MESSAGE_BYTES),
}


def app_id(view_version: int) -> str:
    """Name the Faust app and consumer group of a view version."""
    return prefixed(_app_base(view_version))


def _app_base(view_version: int) -> str:
    return f"energy-v{view_version}"


def changelog_topic(view_version: int, view: str) -> Topic:
    """Return the changelog topic of a view in a view version."""
    return Topic(
        f"{_app_base(view_version)}-{view}-changelog", dict(_CHANGELOG_CONFIGS), _STAMPED_BY_BROKER
    )


def views_transactional_id() -> str:
    """Name the one writer of view versions and the pointer."""
    return prefixed("energy-views")


def min_insync_replicas(replication_factor: int) -> int:
    """Return the min.insync.replicas that goes with a replication factor."""
    return 2 if replication_factor >= 3 else 1
