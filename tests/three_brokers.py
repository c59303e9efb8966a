"""A cluster of three brokers on this machine: three copies of everything, two of them in sync."""

from __future__ import annotations

import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from confluent_kafka.admin import AdminClient

from local_stack.broker.process import LocalBroker
from local_stack.broker.properties import HOST, Listener
from local_stack.ports import free_port
from tests.kafka import wait_until
from tests.shared_broker import QUICK_PROPERTIES

NODES = (1, 2, 3)
READY_SECONDS = 90
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

    admin: AdminClient

    def __init__(
        self,
        directory: Path,
        *,
        broker_factory: Callable[..., LocalBroker] = LocalBroker,
        ways_in: Iterable[str] = (),
        properties: Mapping[str, str] | None = None,
    ) -> None:
        """Make them; `ways_in` are names of listeners beside PLAINTEXT."""
        cluster_id = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        voters = {node: f"{HOST}:{free_port()}" for node in NODES}
        self.ports = {
            node: {name: free_port() for name in ("PLAINTEXT", *ways_in)} for node in NODES
        }
        self.brokers: dict[int, LocalBroker] = {}
        for node, voter in voters.items():
            home = directory / f"broker-{node}"
            home.mkdir()
            (home / "cluster_id").write_text(cluster_id, encoding="ascii")
            ports = self.ports[node]
            bound = [f"{name}://{HOST}:{port}" for name, port in ports.items()]
            self.brokers[node] = broker_factory(
                data_dir=home,
                port=ports["PLAINTEXT"],
                properties={
                    **QUICK_PROPERTIES,
                    **COPIES,
                    "node.id": str(node),
                    "controller.quorum.voters": ",".join(f"{n}@{at}" for n, at in voters.items()),
                    "listeners": ",".join([*bound, f"CONTROLLER://{voter}"]),
                    **(properties or {}),
                },
                extra_listeners=[Listener(name, ports[name], ports[name]) for name in ways_in],
                jvm_options=["-Xmx256m", "-Xms128m"],
            )

    def bootstrap_servers(self, way_in: str = "PLAINTEXT") -> str:
        return ",".join(f"{HOST}:{ports[way_in]}" for ports in self.ports.values())

    def client_config(self) -> dict[str, Any]:
        """A foreign client's settings, one that may do everything."""
        return {"bootstrap.servers": self.bootstrap_servers(), "log_level": 0}

    def start(self) -> None:
        """Start all; return once each knows the others."""
        self._start(self.brokers.values())
        self.admin = AdminClient(self.client_config())
        wait_until(self.is_whole, "all are there")

    def is_whole(self) -> bool:
        """Whether all brokers are counted on, and every copy of every partition is in sync."""
        found = self.admin.list_topics(timeout=10)
        partitions = (p for topic in found.topics.values() for p in topic.partitions.values())
        return len(found.brokers) == len(NODES) and all(
            len(each.isrs) == len(each.replicas) for each in partitions
        )

    def make_whole(self) -> None:
        """Start those that are gone; return once nothing is missed any more."""
        self._start([broker for broker in self.brokers.values() if broker.pid is None])
        wait_until(self.is_whole, "every copy is in sync again", READY_SECONDS)

    def restart(self, node: int) -> None:
        """Restart one in order, as an upgrade does; return once nothing is missed any more."""
        self.brokers[node].stop(timeout_seconds=60)
        assert self.brokers[node].exit_code in (0, 143), "it ended in order"
        self.make_whole()

    def leader(self, topic: str, partition: int) -> int:
        """The node that leads a partition now."""
        # A client of its own: one that is connected may ask who hangs.
        asked = AdminClient(self.client_config())
        found = asked.list_topics(topic, timeout=10).topics[topic]
        return int(found.partitions[partition].leader)

    def kill(self) -> None:
        for broker in self.brokers.values():
            broker.kill()

    def _start(self, brokers: Iterable[LocalBroker]) -> None:
        starting = [*brokers]
        for broker in starting:
            broker.start()
        for broker in starting:
            broker.wait_ready(READY_SECONDS)
