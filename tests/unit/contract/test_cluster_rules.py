"""What the worker refuses to stand on, and what it only warns of."""

import pytest

from contract.cluster_rules import (
    Finding,
    judge_brokers,
    judge_copies,
    judge_keeping,
    judge_leaders,
    judge_sizes,
    judge_timeout,
)
from contract.device_totals import DEVICE_TOTALS
from contract.topics import QUARANTINE, READINGS

TABLE = DEVICE_TOTALS.changelog(1).name
GOOD = {
    READINGS.name: {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"},
    QUARANTINE.name: {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"},
    TABLE: {"cleanup.policy": "compact", "retention.ms": "604800000"},
}


def with_config(topic: str, name: str, value: str) -> dict[str, dict[str, str]]:
    return GOOD | {topic: GOOD[topic] | {name: value}}


def test_what_is_declared_is_good() -> None:
    assert judge_keeping(GOOD, TABLE) == []
    assert judge_leaders(GOOD) == []


@pytest.mark.parametrize(
    ("topic", "name", "value", "refuses"),
    [
        (READINGS.name, "cleanup.policy", "compact", True),
        (READINGS.name, "cleanup.policy", "compact,delete", True),
        (READINGS.name, "retention.ms", "604800000", False),
        (READINGS.name, "retention.bytes", "1000000", False),
        (QUARANTINE.name, "retention.ms", "1000", False),
        (TABLE, "cleanup.policy", "delete", True),
        (TABLE, "cleanup.policy", "compact,delete", True),
        (TABLE, "min.compaction.lag.ms", "0", True),
        (TABLE, "min.compaction.lag.ms", "299999", True),
    ],
)
def test_a_topic_that_does_not_keep_is_named_with_the_cure(
    topic: str, name: str, value: str, refuses: bool
) -> None:
    (found,) = judge_keeping(with_config(topic, name, value), TABLE)
    assert found.refuses is refuses
    assert found.line.startswith(f"{topic}: {name} is {value}")
    assert f"kafka-configs.sh --alter --topic {topic} --add-config {name}=" in found.line


@pytest.mark.parametrize("lag", ["300000", "86400000"])
def test_a_changelog_that_waits_longer_for_its_readers_is_as_good(lag: str) -> None:
    assert judge_keeping(with_config(TABLE, "min.compaction.lag.ms", lag), TABLE) == []


@pytest.mark.parametrize("topic", [READINGS.name, TABLE])
def test_an_unclean_leader_is_refused(topic: str) -> None:
    (found,) = judge_leaders(with_config(topic, "unclean.leader.election.enable", "true"))
    assert found.refuses
    assert found.line.startswith(f"{topic}: unclean.leader.election.enable is true")
    assert judge_leaders(with_config(topic, "unclean.leader.election.enable", "false")) == []


@pytest.mark.parametrize(
    ("configs", "words"),
    [
        ({"transaction.partition.verification.enable": "true"}, None),
        ({"transaction.partition.verification.enable": "false"}, "enable is false"),
        # Before Kafka 3.6 there was none.
        ({"transaction.state.log.min.isr": "2"}, "upgrade it"),
        # A managed cluster that shows next to nothing proves nothing.
        ({"log.retention.ms": "-1"}, None),
    ],
)
def test_a_broker_that_does_not_verify_transactions_is_refused(
    configs: dict[str, str], words: str | None
) -> None:
    found = judge_brokers({"7": configs})
    assert [finding.refuses for finding in found] == [True] * (words is not None)
    assert all("broker 7: " in line and (words or "") in line for line, _ in found)


@pytest.mark.parametrize(
    ("copies", "in_sync", "words"),
    [
        (3, "2", None),
        (5, "3", None),
        (1, "1", "replication factor is 1"),
        (3, "1", "min.insync.replicas is 1"),
    ],
)
def test_too_few_copies_are_a_warning(copies: int, in_sync: str, words: str | None) -> None:
    found = judge_copies({TABLE: copies}, {TABLE: {"min.insync.replicas": in_sync}})
    assert len(found) == (words is not None)
    for finding in found:
        assert isinstance(finding, Finding)
        assert not finding.refuses
        assert words is not None
        assert f"{TABLE}: {words}" in finding.line


def test_c14_a_transaction_timeout_that_no_broker_allows_is_refused() -> None:
    brokers = {"1": {"transaction.max.timeout.ms": "10000"}, "2": {}}
    assert judge_timeout(brokers, 10) == []
    (found,) = judge_timeout(brokers, 15)
    assert found.refuses
    assert "STREAM_APP_TRANSACTION_TIMEOUT_SECONDS" in found.line


def test_c18_brokers_that_make_topics_by_themselves_are_a_warning() -> None:
    verified = {"transaction.partition.verification.enable": "true"}
    makes = verified | {"auto.create.topics.enable": "true"}
    (found,) = judge_brokers({"1": makes, "2": verified, "3": makes})
    assert not found.refuses
    assert found.line.startswith("broker 1, 3: auto.create.topics.enable is true")


@pytest.mark.parametrize(("value", "told"), [("1048588", 0), ("2000000", 0), ("1048587", 1)])
def test_c15_a_changelog_that_takes_no_large_commit_is_a_warning(value: str, told: int) -> None:
    found = judge_sizes(with_config(TABLE, "max.message.bytes", value), TABLE)
    assert len(found) == told
    assert all(f"{TABLE}: max.message.bytes is {value}" in finding.line for finding in found)
    assert not any(finding.refuses for finding in found)
