"""The start-up checks on a real cluster: what is refused, what is said and gone on with."""

import asyncio

import pytest

from api import preflight
from api.errors import StartRefused
from api.preflight import check_kafka
from api.settings import ApiSettings
from contract.device_totals import DEVICE_TOTALS
from contract.topics import READINGS
from kafka_io.cluster import Cluster
from operations.bootstrap import prepare
from operations.status import read_status
from stream_app.checks.preflight import examine
from stream_app.errors import Refusal
from stream_app.settings import WorkerSettings
from tests.broker.own_cluster import SettingsFactory
from tests.kafka import Kafka


@pytest.fixture
def worker(cluster: Cluster, own_kafka: Kafka, settings_factory: SettingsFactory) -> WorkerSettings:
    prepare(cluster, settings_factory())
    return WorkerSettings.load({"KAFKA_BOOTSTRAP_SERVERS": own_kafka.bootstrap_servers})


def test_a_cluster_as_declared_has_no_finding(worker: WorkerSettings) -> None:
    assert asyncio.run(examine(worker, Cluster(worker))).warnings == ()


@pytest.mark.parametrize("topic", [READINGS.name, DEVICE_TOTALS.changelog(1).name])
def test_unclean_leader_election_is_refused_and_in_the_status(
    worker: WorkerSettings, own_kafka: Kafka, settings_factory: SettingsFactory, topic: str
) -> None:
    own_kafka.alter(topic, "unclean.leader.election.enable", "true")
    words = f"{topic}: unclean.leader.election.enable is true"
    with pytest.raises(Refusal, match=words):
        asyncio.run(examine(worker, Cluster(worker)))
    problems = read_status(Cluster(worker), settings_factory(), 0).problems
    assert any(problem.startswith(words) for problem in problems)


def test_a_changelog_that_is_compacted_under_its_readers_is_refused_and_in_the_status(
    worker: WorkerSettings,
    own_kafka: Kafka,
    settings_factory: SettingsFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    topic = DEVICE_TOTALS.changelog(1).name
    own_kafka.alter(topic, "min.compaction.lag.ms", "299999")
    words = f"{topic}: min.compaction.lag.ms is 299999"
    cure = f"kafka-configs.sh --alter --topic {topic} --add-config min.compaction.lag.ms=300000"
    with pytest.raises(Refusal, match=f"^{words}.*{cure}$") as refused:
        asyncio.run(examine(worker, Cluster(worker)))
    assert refused.value.exit_code == 3
    problems = read_status(Cluster(worker), settings_factory(), 0).problems
    assert any(problem.startswith(words) for problem in problems)
    api = ApiSettings.model_validate({"KAFKA_BOOTSTRAP_SERVERS": own_kafka.bootstrap_servers})
    monkeypatch.setattr(preflight, "PATIENCE_SECONDS", 3.0)
    with pytest.raises(StartRefused, match=f"^{words}.*{cure}$") as not_served:
        asyncio.run(check_kafka(api))
    monkeypatch.undo()
    assert not_served.value.exit_code == 3
    own_kafka.alter(topic, "min.compaction.lag.ms", "300000")
    assert asyncio.run(examine(worker, Cluster(worker))).warnings == ()
    asyncio.run(check_kafka(api))


def test_readings_that_are_deleted_by_age_are_a_warning(
    worker: WorkerSettings, own_kafka: Kafka
) -> None:
    own_kafka.alter(READINGS.name, "retention.ms", "604800000")
    (warning,) = asyncio.run(examine(worker, Cluster(worker))).warnings
    assert warning.startswith(f"{READINGS.name}: retention.ms is 604800000")
