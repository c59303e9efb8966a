"""Asks for the configs that totals rest on, and has them judged: at a start, and while it runs.

Reads the cluster; writes nothing. What this login may not ask for is a finding, not a refusal.
"""

from __future__ import annotations

from collections.abc import Mapping
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
    seen: Seen, topics: Topics, changelog_name: str, settings: WorkerSettings
) -> list[Finding]:
    """Judge the configs of topics and brokers."""
    configs = seen.topics
    totals = {n: c for n, c in configs.items() if n in (READINGS.name, changelog_name)}
    findings = judge_leaders(totals) + judge_keeping(configs, changelog_name)
    findings += judge_sizes(configs, changelog_name) + judge_brokers(seen.brokers)
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
