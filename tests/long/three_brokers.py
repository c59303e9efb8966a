"""A cluster of three brokers on this machine: three copies of everything, two of them in sync."""

from __future__ import annotations

import os
import signal
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path

from local_stack.broker.process import LocalBroker
from local_stack.broker.properties import HOST
from local_stack.ports import free_port
from tests.kafka import Kafka, wait_until
from tests.shared_broker import QUICK_PROPERTIES

NODES = (1, 2, 3)
COPIES = {
    "default.replication.factor": "3",
    "min.insync.replicas": "2",
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    # Who stops answering leaves the copies in sync this soon.
    "replica.lag.time.max.ms": "3000",
}


class ThreeBrokers:
    """Each is broker and controller; together they are one cluster."""

    def __init__(self, broker_factory: Callable[..., LocalBroker], directory: Path) -> None:
        cluster_id = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        voters = {node: f"{HOST}:{free_port()}" for node in NODES}
        self.brokers: dict[int, LocalBroker] = {}
        for node, voter in voters.items():
            home = directory / f"broker-{node}"
            home.mkdir()
            (home / "cluster_id").write_text(cluster_id, encoding="ascii")
            port = free_port()
            self.brokers[node] = broker_factory(
                data_dir=home,
                port=port,
                properties={
                    **QUICK_PROPERTIES,
                    **COPIES,
                    "node.id": str(node),
                    "controller.quorum.voters": ",".join(f"{n}@{at}" for n, at in voters.items()),
                    "listeners": f"PLAINTEXT://{HOST}:{port},CONTROLLER://{voter}",
                },
                jvm_options=["-Xmx256m", "-Xms128m"],
            )

    def start(self) -> Kafka:
        """Start all; return once each answers and knows the others."""
        for broker in self.brokers.values():
            broker.start()
        for broker in self.brokers.values():
            broker.wait_ready(60)
        kafka = Kafka(",".join(broker.bootstrap_servers for broker in self.brokers.values()))
        admin = kafka.admin()
        wait_until(lambda: len(admin.list_topics(timeout=5).brokers) == len(NODES), "all are there")
        return kafka

    def leader(self, kafka: Kafka, topic: str, partition: int) -> int:
        """The node that leads a partition now."""
        found = kafka.admin().list_topics(topic, timeout=10).topics[topic]
        return int(found.partitions[partition].leader)

    def in_sync(self, kafka: Kafka) -> int:
        """How many copies are in sync of the partition that has the fewest."""
        topics = kafka.admin().list_topics(timeout=10).topics.values()
        return min(len(p.isrs) for topic in topics for p in topic.partitions.values())

    def send(self, node: int, number: signal.Signals) -> None:
        """Signal one broker's process."""
        pid = self.brokers[node].pid
        assert pid is not None
        os.kill(pid, number)
