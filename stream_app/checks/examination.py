"""Asks for the configs that totals rest on, and has them judged: at a start, and while it runs.

Reads the cluster; writes nothing. What this login may not ask for is a finding, not a refusal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from contract.cluster_rules import (
    Configs,
    Finding,
    judge_brokers,
    judge_copies,
    judge_keeping,
    judge_leaders,
    judge_sizes,
    judge_timeout,
)
from contract.topics import READINGS
from kafka_io.cluster import Cluster, TopicOnBroker
from kafka_io.errors import ClusterRefused
from stream_app.errors import Suspicion
from stream_app.settings import WorkerSettings

Topics = Mapping[str, TopicOnBroker]


class Seen(NamedTuple):
    """The configs that the cluster shows to this login, and findings about what it does not."""

    brokers: Configs
    topics: Configs
    unseen: list[Finding]

    def of(self, topics: Sequence[str]) -> Configs:
        """Return the configs of some topics, empty where they are not shown."""
        return {name: self.topics.get(name, {}) for name in topics}


def configs_seen(cluster: Cluster, topics: Topics) -> Seen:
    """Ask for the configs of brokers and topics."""
    found: list[Configs] = []
    unseen = []
    for ask in (cluster.broker_configs, lambda: cluster.configs(topics)):
        try:
            found.append(ask())
        except ClusterRefused as error:
            found.append({})
            unseen.append(Finding(f"configs were not checked: {error}", refuses=False))
    return Seen(found[0], found[1], unseen)


def examine_configs(
    seen: Seen, topics: Topics, changelogs: Sequence[str], settings: WorkerSettings
) -> list[Finding]:
    """Judge the configs of topics and brokers, of every view's changelog."""
    configs = seen.topics
    totals = {n: c for n, c in configs.items() if n in (READINGS.name, *changelogs)}
    findings = judge_leaders(totals)
    for changelog in changelogs:
        findings += judge_keeping(configs, changelog) + judge_sizes(configs, changelog)
    # What is found of the topics that all views share, once.
    findings = list(dict.fromkeys(findings)) + judge_brokers(seen.brokers)
    findings += judge_timeout(seen.brokers, settings.transaction_timeout_seconds)
    if len(seen.brokers) > 1 or not settings.is_local:
        copies = {name: topic.replication for name, topic in topics.items()}
        findings += judge_copies(copies, configs)
    return findings + seen.unseen


def refuse_or_warn(findings: list[Finding]) -> tuple[str, ...]:
    """Return what is at risk. Raises: Suspicion where a finding refuses."""
    refusing = [finding.line for finding in findings if finding.refuses]
    if refusing:
        raise Suspicion("; ".join(refusing))
    return tuple(finding.line for finding in findings)
