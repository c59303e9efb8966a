"""Settings of the `energy` command: the cluster's topics, the local stack.

Reads: nothing; `load` is handed a mapping, which only the command's entry point takes from the
environment.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from contract.kafka import KafkaSettings
from contract.settings import HomeSettings, Integer, Port
from contract.views import SERIES_BY_DEFAULT, OnOff, rules_with

REPLICATION_FACTOR = 3
LOCAL_REPLICATION_FACTOR = 1
#: A partition costs the worker a RocksDB and a producer; beyond this Kafka needs another plan.
MOST_PARTITIONS = 1_000


class TopicSettings(KafkaSettings):
    """How topics and views are made; replication None: 1 on our local broker, 3 otherwise."""

    partitions: Annotated[Integer, Field(ge=1, le=MOST_PARTITIONS)] = Field(
        4, alias="ENERGY_PARTITIONS"
    )
    replication_factor: Annotated[Integer, Field(ge=1, le=100)] | None = Field(
        None, alias="ENERGY_REPLICATION_FACTOR"
    )
    #: Whether a new view version has the series; those that are there continue as they were born.
    series: OnOff = Field(SERIES_BY_DEFAULT, alias="ENERGY_SERIES")

    @property
    def rules_id(self) -> str:
        """The rules that a new view version is born under."""
        return rules_with(self.series)

    def replication(self, brokers: int) -> int:
        """Return the replication factor that topics are made with on so many brokers.

        An address is no proof of a local broker: through a tunnel a cluster is on loopback too.
        """
        if self.replication_factor is not None:
            return self.replication_factor
        is_ours = self.is_local and brokers == 1
        return LOCAL_REPLICATION_FACTOR if is_ours else REPLICATION_FACTOR


class BrokerSettings(HomeSettings):
    """The local broker."""

    broker_port: Port = Field(9092, alias="ENERGY_BROKER_PORT")
