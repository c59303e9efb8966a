"""A command that runs for long asks the same cluster before and after its brokers restarted."""

import time
from collections.abc import Callable

import pytest
from confluent_kafka import Consumer

from contract.kafka import KafkaSettings
from kafka_io.cluster import Cluster
from kafka_io.errors import NoBroker
from local_stack.broker.process import LocalBroker
from local_stack.ports import free_port
from tests.kafka import Kafka, wait_until

READY_SECONDS = 60


@pytest.mark.timeout(200)
def test_members_of_a_group_are_told_again_after_the_broker_was_away(
    broker_factory: Callable[..., LocalBroker],
) -> None:
    port = free_port()
    broker = broker_factory(port=port)
    broker.start()
    broker.wait_ready(READY_SECONDS)
    settings = KafkaSettings(bootstrap_servers=broker.bootstrap_servers)
    cluster = Cluster(settings, deadline_seconds=2.0)
    kafka = Kafka(broker.bootstrap_servers)
    member = kafka.consumer(group_id="readers", client_id="m")
    member.subscribe([kafka.create_topic("readings")])
    wait_until(lambda: _joins(member) and _members(cluster), "it has joined", READY_SECONDS)
    # Not after the kill: without a broker librdkafka may wait for ever to leave the group.
    member.close()
    broker.kill()
    for _ in range(2):
        with pytest.raises(NoBroker):
            cluster.members("readers")
    again = broker_factory(port=port)
    again.start()
    again.wait_ready(READY_SECONDS)
    began = time.monotonic()
    wait_until(lambda: _members(cluster) is not None, "it is answered again", READY_SECONDS)
    print(f"answered {time.monotonic() - began:.1f} s after the broker was back")


def _joins(member: Consumer) -> bool:
    member.poll(0.1)  # what it says of a topic that is not there does not matter
    return True


def _members(cluster: Cluster) -> list[str] | None:
    """Return who is in the group; None where no broker answers in time."""
    try:
        return list(cluster.members("readers"))
    except NoBroker:
        return None
