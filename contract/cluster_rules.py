"""Judges what the worker relies on: configs of topics and brokers that could cost readings.

Pure; the doctor asks the cluster. A finding that must be repaired first refuses the start, the
others are said in one line each: totals are right, something else is at risk.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from contract.topics import (
    CHANGELOG_MESSAGE_BYTES,
    MIN_COMPACTION_LAG_MS,
    QUARANTINE,
    READINGS,
)

Configs = Mapping[str, Mapping[str, str]]

_SIZE, _LONGEST = "max.message.bytes", "transaction.max.timeout.ms"
_COMPACTION_LAG = "min.compaction.lag.ms"
_AUTO_CREATE = "auto.create.topics.enable"
UNCLEAN = "unclean.leader.election.enable"
VERIFICATION = "transaction.partition.verification.enable"
#: Stands in every whole list of a broker's configs: managed clusters only show a part of theirs.
_SIGN_OF_A_WHOLE_LIST = "transaction.state.log.min.isr"
#: With fewer copies, losing one broker can lose what was acknowledged.
_COPIES, _IN_SYNC = 3, 2


class Finding(NamedTuple):
    """One thing that is not as it must be: what, where, what to do."""

    line: str
    refuses: bool


def judge_leaders(configs: Configs) -> list[Finding]:
    """Refuse topics whose acknowledged records a leader that lacks them may drop."""
    return [
        Finding(
            f"{topic}: {UNCLEAN} is true: a new leader may lack acknowledged records, and totals"
            f" would be wrong; set it to false: {_alter(topic, f'{UNCLEAN}=false')}",
            refuses=True,
        )
        for topic, found in sorted(configs.items())
        if found.get(UNCLEAN) == "true"
    ]


def judge_brokers(brokers: Configs) -> list[Finding]:
    """Refuse brokers that let a late write of a fenced worker into a later transaction."""
    findings = []
    if guessing := [
        broker for broker, found in brokers.items() if found.get(_AUTO_CREATE) == "true"
    ]:
        findings.append(
            Finding(
                f"broker {', '.join(sorted(guessing))}: {_AUTO_CREATE} is true: a topic that is"
                " deleted comes back with other partitions, kept for days; set it to false",
                refuses=False,
            )
        )
    for broker, found in sorted(brokers.items()):
        verified = found.get(VERIFICATION)
        if verified == "false":
            findings.append(
                Finding(
                    f"broker {broker}: {VERIFICATION} is false: a late write of a fenced worker"
                    " could be counted; set it to true",
                    refuses=True,
                )
            )
        elif verified is None and _SIGN_OF_A_WHOLE_LIST in found:
            findings.append(
                Finding(
                    f"broker {broker}: it does not verify transactions: a late write of a fenced"
                    " worker could be counted; Kafka 3.6 and later do, upgrade it",
                    refuses=True,
                )
            )
    return findings


def judge_timeout(brokers: Configs, transaction_timeout_seconds: float) -> list[Finding]:
    """Refuse a transaction's timeout that a broker does not allow: no writer could start."""
    wanted = int(transaction_timeout_seconds * 1000)
    return [
        Finding(
            f"broker {broker}: {_LONGEST} is {found[_LONGEST]}, STREAM_APP_TRANSACTION_TIMEOUT_"
            f"SECONDS asks for {wanted} ms: set one of them so that it fits",
            refuses=True,
        )
        for broker, found in sorted(brokers.items())
        if int(found.get(_LONGEST, wanted)) < wanted
    ]


def judge_sizes(configs: Configs, changelog: str) -> list[Finding]:
    """Judge whether the topics take the largest batches that a worker writes."""
    return [
        Finding(
            f"{topic}: {_SIZE} is {configs[topic][_SIZE]}: larger {what} are refused, and their"
            f" partition waits; {_alter(topic, f'{_SIZE}={needed}')}",
            refuses=False,
        )
        for topic, needed, what in (
            (changelog, CHANGELOG_MESSAGE_BYTES, "commits"),
            (QUARANTINE.name, int(QUARANTINE.configs[_SIZE]), "invalid records"),
        )
        if int(configs.get(topic, {}).get(_SIZE, needed)) < needed
    ]


def judge_keeping(configs: Configs, changelog: str) -> list[Finding]:
    """Judge whether the topics keep what totals, replays and the quarantine need."""
    findings = []
    readings = configs.get(READINGS.name, {})
    if "compact" in readings.get("cleanup.policy", ""):
        findings.append(
            Finding(
                f"{READINGS.name}: cleanup.policy is {readings['cleanup.policy']}: compaction"
                " removes readings before they are counted; "
                f"{_alter(READINGS.name, 'cleanup.policy=delete')}",
                refuses=True,
            )
        )
    policy = configs.get(changelog, {}).get("cleanup.policy", "compact")
    if policy != "compact":
        findings.append(
            Finding(
                f"{changelog}: cleanup.policy is {policy}: totals of silent devices would be"
                f" deleted; {_alter(changelog, 'cleanup.policy=compact')}",
                refuses=True,
            )
        )
    findings += judge_compaction(configs, changelog)
    if "compact" in configs.get(QUARANTINE.name, {}).get("cleanup.policy", ""):
        findings.append(
            Finding(
                f"{QUARANTINE.name}: cleanup.policy is"
                f" {configs[QUARANTINE.name]['cleanup.policy']}: compaction removes quarantined"
                f" records; {_alter(QUARANTINE.name, 'cleanup.policy=delete')}",
                refuses=False,
            )
        )
    for topic, what in (
        (READINGS.name, "readings not yet counted, and replays"),
        (QUARANTINE.name, "quarantined records"),
    ):
        for name in ("retention.ms", "retention.bytes"):
            value = configs.get(topic, {}).get(name, "-1")
            if value != "-1":
                findings.append(
                    Finding(
                        f"{topic}: {name} is {value}: old records are deleted, which {what} lose;"
                        f" keep all: {_alter(topic, f'{name}=-1')}",
                        refuses=False,
                    )
                )
    return findings


def judge_compaction(configs: Configs, changelog: str) -> list[Finding]:
    """Refuse a changelog that is compacted before a reader who is behind has read it.

    Of a commit whose older rows are removed for newer ones a reader shows what is left.
    """
    lag = configs.get(changelog, {}).get(_COMPACTION_LAG)
    if lag is None or int(lag) >= MIN_COMPACTION_LAG_MS:
        return []
    return [
        Finding(
            f"{changelog}: {_COMPACTION_LAG} is {lag}: a reader that is behind would show commits"
            " in part, and totals would be wrong;"
            f" {_alter(changelog, f'{_COMPACTION_LAG}={MIN_COMPACTION_LAG_MS}')}",
            refuses=True,
        )
    ]


def judge_copies(copies: Mapping[str, int], configs: Configs) -> list[Finding]:
    """Judge, outside one machine, whether the loss of a broker can lose what was acknowledged."""
    findings = []
    for topic, count in sorted(copies.items()):
        if count < _COPIES:
            findings.append(
                Finding(
                    f"{topic}: replication factor is {count}: a broker's loss can lose it; use"
                    f" {_COPIES} (kafka-reassign-partitions.sh)",
                    refuses=False,
                )
            )
        elif int(configs.get(topic, {}).get("min.insync.replicas", _IN_SYNC)) < _IN_SYNC:
            findings.append(
                Finding(
                    f"{topic}: min.insync.replicas is 1: a broker's loss can lose what was"
                    f" acknowledged; {_alter(topic, f'min.insync.replicas={_IN_SYNC}')}",
                    refuses=False,
                )
            )
    return findings


def enlarge(topic: str) -> str:
    """Say how a changelog is made to take commits of every size."""
    return _alter(topic, f"max.message.bytes={CHANGELOG_MESSAGE_BYTES}")


def _alter(topic: str, config: str) -> str:
    return f"kafka-configs.sh --alter --topic {topic} --add-config {config}"
