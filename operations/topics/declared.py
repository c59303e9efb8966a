"""Declares the topics a cluster must have, makes those that are missing, names what differs.

Reads and writes: topics of the cluster. Guarantees: an existing topic is never changed, and
nothing that held data is made again behind a view version's back (its births would not fit).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import NamedTuple

from confluent_kafka.admin import NewTopic

from contract.device_totals import DEVICE_TOTALS
from contract.errors import SettingError
from contract.topics import IMPORTS, QUARANTINE, READINGS, VIEWS, Topic, min_insync_replicas
from contract.view_versions import Views
from contract.views import RULES_ID, views_of
from kafka_io.cluster import Cluster, TopicOnBroker
from kafka_io.cluster_changes import ClusterAdmin
from kafka_io.errors import ClusterRefused
from kafka_io.log_reader import read_views
from operations.errors import Refused
from operations.settings import TopicSettings
from operations.views.adoption import check_whole, refuse_unknown

FIRST_VIEW_VERSION = 1
PARTITIONS = "partitions"
_VISIBLE_SECONDS = 10.0
_PAUSE_SECONDS = 0.1


class Declared(NamedTuple):
    """A topic as it has to be on this cluster; `made_with` says more about a new one."""

    name: str
    partitions: int
    replication: int
    configs: dict[str, str]
    made_with: Mapping[str, str]


class Difference(NamedTuple):
    """One thing about a topic that is not as declared; `found` None: there is no such topic."""

    topic: str
    what: str
    declared: str
    found: str | None


class Outcome(NamedTuple):
    """What `create` did and found."""

    created: list[str]
    differences: list[Difference]


def declared_topics(
    settings: TopicSettings,
    brokers: int,
    views: Views | None = None,
    first: int = FIRST_VIEW_VERSION,
) -> list[Declared]:
    """Return each topic that must exist, given the view versions there are (else the first)."""
    versions = [v for v in views.versions.values() if v.state != "dropped"] if views else []
    rules = {v.view_version: v.rules_id for v in versions} or {first: RULES_ID}
    tables = [view.changelog(n) for n in sorted(rules) for view in views_of(rules[n])]
    return [
        _declare(
            topic,
            1 if topic in (VIEWS, IMPORTS) else settings.partitions,
            settings.replication(brokers),
        )
        for topic in (READINGS, QUARANTINE, VIEWS, IMPORTS, *tables)
    ]


def _declare(topic: Topic, partitions: int, replication: int) -> Declared:
    configs = topic.configs | {"min.insync.replicas": str(min_insync_replicas(replication))}
    return Declared(topic.name, partitions, replication, configs, topic.made_with)


def current_views(cluster: Cluster) -> Views | None:
    """Return the view versions there are, None while there is no topic of them."""
    return read_views(cluster.settings) if cluster.topics([VIEWS.name]) else None


def check(cluster: Cluster, settings: TopicSettings) -> list[Difference]:
    """Compare the cluster's topics with the declared ones; empty: all is as it must be."""
    brokers = cluster.brokers()
    return _differences(cluster, declared_topics(settings, brokers, current_views(cluster)))


def create(
    cluster: ClusterAdmin, settings: TopicSettings, *, adopting: int | None = None
) -> Outcome:
    """Make the missing topics and wait until they are visible; may be called again.

    Makes none where an existing one has another number of partitions than declared, or where
    there are totals that `energy_views` does not know, unless that version is to be taken up.

    Raises: SettingError (more copies than brokers), Refused, NoBroker, ClusterRefused.
    """
    brokers = cluster.brokers()
    if settings.replication(brokers) > brokers:
        raise SettingError(
            "ENERGY_REPLICATION_FACTOR",
            f"must be at most {brokers}, the number of brokers",
            value=str(settings.replication(brokers)),
        )
    views = current_views(cluster)
    if adopting is not None:
        check_whole(cluster, adopting)
    elif views is None or views.live is None:
        refuse_unknown(cluster, views or Views())
    declared = declared_topics(settings, brokers, views, adopting or FIRST_VIEW_VERSION)
    present = cluster.topics(topic.name for topic in declared)
    missing = [topic for topic in declared if topic.name not in present]
    if views is not None and views.live is not None:
        _refuse_to_replace(missing, views.live)
    made: set[str] = set()
    differences = _differences(cluster, [topic for topic in declared if topic.name in present])
    # The rest would be made with the wrong number of partitions, which cannot be taken back.
    if missing and not has_other_partitions(differences):
        made = cluster.create_topics([_new(topic) for topic in missing])
        _wait_until_visible(cluster, [topic.name for topic in missing])
    return Outcome(sorted(made), differences)


def create_changelogs(
    cluster: ClusterAdmin, settings: TopicSettings, view_version: int, partitions: int
) -> None:
    """Make the changelogs of the next view version, unless a start before this one has."""
    topics = [view.changelog(view_version) for view in views_of(RULES_ID)]
    replication = settings.replication(cluster.brokers())
    cluster.create_topics([_new(_declare(topic, partitions, replication)) for topic in topics])
    _wait_until_visible(cluster, [topic.name for topic in topics])


def has_other_partitions(differences: list[Difference]) -> bool:
    """Whether a topic has another number of partitions than declared."""
    return any(difference.what == PARTITIONS for difference in differences)


def _new(topic: Declared) -> NewTopic:
    return NewTopic(
        topic.name,
        num_partitions=topic.partitions,
        replication_factor=topic.replication,
        config={**topic.configs, **topic.made_with},
    )


def _refuse_to_replace(missing: list[Declared], live: int) -> None:
    names = {topic.name for topic in missing}
    changelog = DEVICE_TOTALS.changelog(live).name
    if READINGS.name in names:
        raise Refused(
            f"{READINGS.name} is gone, and {changelog} has all that is left of its"
            f" readings, the totals of view version {live}: keep it, and restore {READINGS.name}"
            " from a copy; to begin with an empty log, use another cluster, or another"
            " ENERGY_HOME where the broker is the local one"
        )
    if changelog in names:
        raise Refused(
            f"{changelog} is gone, though view version {live} is live;"
            " `energy replay start` builds its totals anew from the readings log"
        )


def _wait_until_visible(cluster: Cluster, names: list[str]) -> None:
    deadline = time.monotonic() + _VISIBLE_SECONDS
    while len(cluster.topics(names)) < len(names):
        if time.monotonic() > deadline:
            raise ClusterRefused(
                f"{', '.join(names)}: made, but not visible within {_VISIBLE_SECONDS:g} s"
            )
        time.sleep(_PAUSE_SECONDS)


def _differences(cluster: Cluster, declared: list[Declared]) -> list[Difference]:
    present = cluster.topics(topic.name for topic in declared)
    configs = cluster.configs(present)
    return [
        difference
        for topic in declared
        for difference in _compare(topic, present.get(topic.name), configs.get(topic.name, {}))
    ]


def _compare(
    declared: Declared, found: TopicOnBroker | None, configs: dict[str, str]
) -> list[Difference]:
    if found is None:
        return [Difference(declared.name, "topic", "exists", None)]
    rows = [
        (PARTITIONS, str(declared.partitions), str(found.partitions)),
        ("replication factor", str(declared.replication), str(found.replication)),
        *((name, value, configs.get(name, "")) for name, value in declared.configs.items()),
    ]
    return [Difference(declared.name, *row) for row in rows if row[1] != row[2]]
