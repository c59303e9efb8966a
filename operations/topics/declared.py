"""Declares the topics a cluster must have, makes those that are missing, names what differs.

Reads and writes: topics of the cluster. Guarantees: an existing topic is never changed, and
nothing that held data is made again behind a view version's back (its births would not fit).
"""

from __future__ import annotations

from typing import NamedTuple

from contract.cluster_rules import UNCLEAN
from contract.errors import SettingError
from contract.topic_configs import NOT_SHOWN, Need, is_met, need_of
from contract.topics import IMPORTS, QUARANTINE, READINGS, VIEWS, Topic, min_insync_replicas
from contract.view_versions import Views, ViewVersion
from contract.views import views_of
from kafka_io.cluster import Cluster, TopicOnBroker
from kafka_io.cluster_changes import ClusterAdmin
from kafka_io.log_reader import read_views
from operations.errors import NO_LIVE_VERSION, Refused
from operations.settings import TopicSettings
from operations.topics.creation import Declared, make_topics
from operations.views.adoption import check_whole, refuse_unknown

FIRST_VIEW_VERSION = 1
PARTITIONS = "partitions"


class Difference(NamedTuple):
    """One thing about a topic that is not as declared; `found` None: there is no such topic."""

    topic: str
    what: str
    declared: str
    found: str | None

    @property
    def need(self) -> Need:
        """How much it matters."""
        return Need.CHECKED if self.found == NOT_SHOWN else need_of(self.topic, self.what)

    @property
    def text(self) -> str:
        """It as a sentence."""
        if self.found is None:
            return f"{self.topic}: the topic does not exist"
        return f"{self.topic}: {self.what} is {self.found}, should be {self.declared}"


class Outcome(NamedTuple):
    """What `create` did and found."""

    created: list[str]
    differences: list[Difference]


def declared_topics(
    settings: TopicSettings,
    brokers: int,
    views: Views | None = None,
    adopted: ViewVersion | None = None,
) -> list[Declared]:
    """Return each topic that must exist, given the view versions there are (else the first)."""
    versions = [v for v in views.versions.values() if v.state != "dropped"] if views else []
    if adopted is not None and not versions:
        versions = [adopted]
    rules = {v.view_version: v.rules_id for v in versions} or {
        FIRST_VIEW_VERSION: settings.rules_id
    }
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
    configs = topic.configs | {
        "min.insync.replicas": str(min_insync_replicas(replication)),
        # True by default on some managed clusters.
        UNCLEAN: "false",
    }
    return Declared(topic.name, partitions, replication, configs, topic.made_with)


def current_views(cluster: Cluster) -> Views | None:
    """Return the view versions there are, None while there is no topic of them."""
    return read_views(cluster.settings) if cluster.topics([VIEWS.name]) else None


def live_views(cluster: Cluster) -> tuple[Views, int]:
    """Return the view versions there are, and which one is live. Raises: Refused where none is."""
    views = current_views(cluster)
    if views is None or views.live is None:
        raise Refused(NO_LIVE_VERSION)
    return views, views.live


def existing_version(cluster: Cluster, view_version: int | None) -> ViewVersion:
    """Return a view version that has not been dropped; None: the live one. Raises: Refused."""
    views, live = live_views(cluster)
    number = live if view_version is None else view_version
    version = views.versions.get(number)
    if version is None or version.state == "dropped":
        raise Refused(f"there is no view version {number}; `energy replay status` lists them")
    return version


def check(cluster: Cluster, settings: TopicSettings) -> list[Difference]:
    """Compare the cluster's topics with the declared ones; empty: all is as it must be."""
    brokers = cluster.brokers()
    return _differences(cluster, declared_topics(settings, brokers, current_views(cluster)))


def create(
    cluster: ClusterAdmin, settings: TopicSettings, *, adopting: int | None = None
) -> Outcome:
    """Make the missing topics and wait until they are visible; may be called again.

    A cluster may refuse what only makes them quick (creation.py): then they differ in that.
    Makes none where an existing one has another number of partitions than declared, or where
    there are totals that `energy_views` does not know, unless that version is to be taken up.

    Raises: SettingError (more copies than brokers), Refused (even where totals could be wrong on
    a topic as it is), NoBroker, ClusterRefused.
    """
    brokers = cluster.brokers()
    if settings.replication(brokers) > brokers:
        raise SettingError(
            "ENERGY_REPLICATION_FACTOR",
            f"must be at most {brokers}, the number of brokers",
            value=str(settings.replication(brokers)),
        )
    views = current_views(cluster)
    adopted = None
    if adopting is not None:
        adopted = check_whole(cluster, adopting)
    elif views is None or views.live is None:
        refuse_unknown(cluster, views or Views())
    declared = declared_topics(settings, brokers, views, adopted)
    present = cluster.topics(topic.name for topic in declared)
    missing = [topic for topic in declared if topic.name not in present]
    if views is not None and views.live is not None:
        _refuse_to_replace(missing, views.versions[views.live])
    made: set[str] = set()
    differences = _differences(cluster, [topic for topic in declared if topic.name in present])
    refuse_wrong(differences)
    # The rest would be made with the wrong number of partitions, which cannot be taken back.
    if missing and not has_other_partitions(differences):
        made = make_topics(cluster, missing)
        differences += _differences(cluster, missing)
        refuse_wrong(differences)
    return Outcome(sorted(made), differences)


def create_changelogs(cluster: ClusterAdmin, settings: TopicSettings, version: ViewVersion) -> None:
    """Make the changelogs of the next view version, unless a start before this one has."""
    topics = [view.changelog(version.view_version) for view in views_of(version.rules_id)]
    replication = settings.replication(cluster.brokers())
    declared = [_declare(topic, version.partitions, replication) for topic in topics]
    make_topics(cluster, declared)
    refuse_wrong(_differences(cluster, declared))


def refuse_wrong(differences: list[Difference]) -> None:
    """Raise Refused where totals could be wrong on the topics as they are."""
    wrong = [
        f"{each.topic}: {each.what} is {each.found}, totals need {each.declared}; set it:"
        f" kafka-configs.sh --alter --topic {each.topic} --add-config {each.what}={each.declared}"
        for each in differences
        if each.need is Need.REQUIRED
    ]
    if wrong:
        raise Refused("; ".join(wrong))


def has_other_partitions(differences: list[Difference]) -> bool:
    """Whether a topic has another number of partitions than declared."""
    return any(difference.what == PARTITIONS for difference in differences)


def _refuse_to_replace(missing: list[Declared], live: ViewVersion) -> None:
    names = {topic.name for topic in missing}
    number = live.view_version
    changelogs = [view.changelog(number).name for view in views_of(live.rules_id)]
    if READINGS.name in names:
        raise Refused(
            f"{READINGS.name} is gone, and {' and '.join(changelogs)} has all that is left of its"
            f" readings, the totals of view version {number}: keep it, and restore {READINGS.name}"
            " from a copy; to begin with an empty log, use another cluster, or another"
            " ENERGY_HOME where the broker is the local one"
        )
    for changelog in changelogs:
        if changelog in names:
            raise Refused(
                f"{changelog} is gone, though view version {number} is live;"
                " `energy replay start` rebuilds its totals from the readings log"
            )


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
        *((name, value, configs.get(name, NOT_SHOWN)) for name, value in declared.configs.items()),
    ]
    return [Difference(declared.name, *row) for row in rows if not is_met(*row)]
