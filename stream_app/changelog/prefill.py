"""Fills the stores of a worker that has none, before it joins a group in which others work.

Reads: the changelog. Writes: the stores. A worker that joins with empty stores would recover
them inside the rebalance, while nobody works on its partitions; so it reads first what is
there, and the recovery after the fence only what came since. Takes no part in correctness: the
recovery judges these stores as it judges all others.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from aiokafka.errors import KafkaError

from contract.topics import app_id
from kafka_io.cluster import Cluster
from stream_app.changelog.recovery import ChangelogRecovery

log = logging.getLogger(__name__)


def has_to_warm_up(directory: Path, cluster: Cluster, view_version: int) -> bool:
    """Return whether this worker begins with nothing while others work on the view version."""
    return not any(directory.glob("**/*.db")) and bool(cluster.members(app_id(view_version)))


def warm_up(
    recovery: ChangelogRecovery, partitions: int, close_store: Callable[[int], None]
) -> None:
    """Bring the stores of all partitions up to the changelog, and close them again.

    Raises: Refusal. What Kafka refuses now is left for the recovery that counts.
    """
    log.info("filling the stores before joining the group")
    try:
        asyncio.run(recovery.recover(list(range(partitions))))
    except KafkaError as error:
        log.info("joining with what there is: %s", error)
    finally:
        for partition in range(partitions):
            close_store(partition)
