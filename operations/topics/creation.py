"""Makes topics with what the cluster lets them have.

A managed cluster refuses whole topics for a config that is its own matter, or that lies beyond its
bounds. So they are asked for with all that is declared, then without what only makes them quick,
then with what totals need alone. What is missing then is a difference, which `check` names.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from confluent_kafka.admin import NewTopic

from contract.cluster_rules import UNCLEAN
from contract.topic_configs import Need, need_of
from kafka_io.cluster_changes import ClusterAdmin
from kafka_io.errors import ConfigRefused

log = logging.getLogger(__name__)


class Declared(NamedTuple):
    """A topic as it has to be on this cluster; `made_with` says more about a new one."""

    name: str
    partitions: int
    replication: int
    configs: dict[str, str]
    made_with: Mapping[str, str]


def make_topics(cluster: ClusterAdmin, topics: Sequence[Declared]) -> set[str]:
    """Make topics; returns those that were new.

    Raises: ClusterRefused where a topic cannot have what totals need.
    """
    try:
        made = cluster.create_topics([_new(topic, _all_of(topic)) for topic in topics])
    except ConfigRefused as refused:
        made = set(refused.made)
        log.info("%s", refused)
        for topic in topics:
            if topic.name not in made:
                made |= _make_with_less(cluster, topic)
    return made


def _make_with_less(cluster: ClusterAdmin, topic: Declared) -> set[str]:
    refused: ConfigRefused | None = None
    for configs in _less_and_less(topic):
        try:
            return cluster.create_topics([_new(topic, configs)])
        except ConfigRefused as error:
            refused = error
    assert refused is not None
    raise refused


def _less_and_less(topic: Declared) -> Iterator[dict[str, str]]:
    """Yield what to ask for, from all that is declared down to what totals need."""
    configs = _all_of(topic)
    yield configs
    # False by default wherever it cannot be set; where it is not, the comparison refuses.
    configs = {name: value for name, value in configs.items() if name != UNCLEAN}
    for least in ((Need.REQUIRED, Need.WANTED), (Need.REQUIRED,)):
        yield {n: value for n, value in configs.items() if need_of(topic.name, n) in least}


def _all_of(topic: Declared) -> dict[str, str]:
    return {**topic.configs, **topic.made_with}


def _new(topic: Declared, configs: Mapping[str, str]) -> NewTopic:
    return NewTopic(
        topic.name,
        num_partitions=topic.partitions,
        replication_factor=topic.replication,
        config=dict(configs),
    )
