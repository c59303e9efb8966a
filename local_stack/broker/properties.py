"""The server.properties of the local broker, as a value.

One process is broker and controller (KRaft). What matters for exactness is left as a production
cluster has it: no unclean leaders, transaction verification on, nothing is ever deleted by age.
What is smaller than Kafka's default is so because one small machine runs everything.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

HOST = "127.0.0.1"
DATA_DIRECTORY = "data"
"""Relative to the broker's working directory, so a comma in a path cannot split it in two."""


@dataclass(frozen=True)
class Listener:
    """One more way in. Clients that connect to `port` are told to continue at `advertised_port`.

    A proxy in front of the broker is followed only if it is advertised (fault tests do this).
    """

    name: str
    port: int
    advertised_port: int


def server_properties(
    *,
    port: int,
    controller_port: int,
    extra_listeners: Sequence[Listener] = (),
    overrides: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Every property that differs from Kafka's default; `overrides` win."""
    listeners = [Listener("PLAINTEXT", port, port), *extra_listeners]
    names = ["CONTROLLER", *(x.name for x in listeners)]
    bound = [f"{x.name}://{HOST}:{x.port}" for x in listeners]
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{HOST}:{controller_port}",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "listeners": ",".join([*bound, f"CONTROLLER://{HOST}:{controller_port}"]),
        "advertised.listeners": ",".join(
            f"{x.name}://{HOST}:{x.advertised_port}" for x in listeners
        ),
        "listener.security.protocol.map": ",".join(f"{name}:PLAINTEXT" for name in names),
        "log.dirs": DATA_DIRECTORY,
        # Topics are declared, never guessed; the log is the truth and stays.
        "auto.create.topics.enable": "false",
        "log.retention.ms": "-1",
        "unclean.leader.election.enable": "false",
        "transaction.partition.verification.enable": "true",
        # One broker: one copy of everything.
        "default.replication.factor": "1",
        "min.insync.replicas": "1",
        "offsets.topic.replication.factor": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        # 50 partitions each by default: seconds of start-up and hundreds of files for nothing.
        "offsets.topic.num.partitions": "8",
        "transaction.state.log.num.partitions": "8",
        "share.coordinator.state.topic.num.partitions": "1",
        # Nobody else is about to join; a killed worker's open transaction must not hold readers.
        "group.initial.rebalance.delay.ms": "0",
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
        # After a crash the broker waits until its own former session is over (9 s by default).
        "broker.session.timeout.ms": "2000",
        "broker.heartbeat.interval.ms": "250",
        # A record into the metadata log twice a second, for brokers that are far from it: half of
        # what an idle broker does.
        "metadata.max.idle.interval.ms": "0",
        # A machine with two cores.
        "num.network.threads": "2",
        "num.io.threads": "4",
        "background.threads": "4",
        "log.cleaner.dedupe.buffer.size": str(32 << 20),
        **(overrides or {}),
    }


def as_text(properties: Mapping[str, str]) -> str:
    """The file's content, one `name=value` a line, sorted."""
    return "".join(f"{name}={value}\n" for name, value in sorted(properties.items()))
