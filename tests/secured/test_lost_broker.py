"""What is asked while one of the brokers is gone."""

from __future__ import annotations

from contract.kafka import KafkaSettings
from kafka_io.cluster import Cluster
from kafka_io.rights import read
from tests.kafka import ANSWER_SECONDS, wait_until
from tests.secured.cluster import SecuredCluster

GONE = 3


def test_a_question_goes_to_another_broker_where_the_one_that_would_be_asked_is_gone(
    secured: SecuredCluster,
) -> None:
    cluster = Cluster(KafkaSettings.load(secured.scram("energy-operator")))

    def would_ask_it() -> bool:
        # Each broker names one that it takes for alive, by chance; the client remembers it.
        return cluster.admin.list_topics(timeout=ANSWER_SECONDS).controller_id == GONE

    wait_until(would_ask_it, f"broker {GONE} would be asked")
    assert cluster.lacking([read("energy_consumption")]) == []
    secured.brokers[GONE].kill()
    # For some seconds it is still taken for alive.
    wait_until(would_ask_it, f"broker {GONE} would be asked")
    assert cluster.lacking([read("energy_consumption")]) == []
