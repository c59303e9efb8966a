"""A broker for tests of the topics that have fixed names: one for the run, emptied for each."""

from collections.abc import Callable, Iterator, Mapping

import pytest

from kafka_io.cluster_changes import ClusterAdmin
from operations.settings import TopicSettings
from tests.kafka import ANSWER_SECONDS, Kafka, wait_until
from tests.shared_broker import QUICK_PROPERTIES, start_broker

SettingsFactory = Callable[..., TopicSettings]


@pytest.fixture(scope="session")
def own_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """A broker that no other tier or process uses."""
    broker = start_broker(tmp_path_factory.mktemp("own-broker"), QUICK_PROPERTIES)
    yield Kafka(broker.bootstrap_servers)
    broker.kill()


@pytest.fixture
def own_kafka(own_broker: Kafka) -> Kafka:
    """That broker without any topic of ours."""
    admin = own_broker.admin()

    def ours() -> list[str]:
        topics = admin.list_topics(timeout=ANSWER_SECONDS).topics
        return [name for name in topics if not name.startswith("__")]

    if names := ours():
        for done in admin.delete_topics(names).values():
            done.result(ANSWER_SECONDS)
        wait_until(lambda: not ours(), "all topics are deleted")
    return own_broker


@pytest.fixture
def settings_factory(own_kafka: Kafka) -> SettingsFactory:
    """`settings_factory(ENERGY_PARTITIONS="2")`: for the empty broker."""

    def create(**overrides: str) -> TopicSettings:
        environ: Mapping[str, str] = {
            "KAFKA_BOOTSTRAP_SERVERS": own_kafka.bootstrap_servers,
            "ENERGY_PARTITIONS": "2",
            # Most tests write the totals by hand, and nothing else.
            "ENERGY_SERIES": "off",
            **overrides,
        }
        return TopicSettings.load(environ)

    return create


@pytest.fixture
def cluster(settings_factory: SettingsFactory) -> ClusterAdmin:
    """The empty broker as the command sees it."""
    return ClusterAdmin(settings_factory())
