"""A broker of the benchmark's own, its topics, and a view version that can be begun anew."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from confluent_kafka.admin import AdminClient, NewTopic

from contract.topics import QUARANTINE, READINGS, VIEWS
from contract.views import OnOff, all_views, rules_with
from kafka_io.cluster_changes import ClusterAdmin
from kafka_io.quiet import QUIET
from local_stack.broker.process import LocalBroker
from operations.settings import TopicSettings
from operations.topics.declared import create
from operations.views.birth import ensure_first_view
from tests.benchmarks.dataset import Dataset, Shape, publish

GONE_SECONDS = 30.0


class Stand(NamedTuple):
    """Where a benchmark runs."""

    directory: Path
    environ: dict[str, str]
    settings: TopicSettings
    cluster: ClusterAdmin
    admin: AdminClient

    @property
    def servers(self) -> str:
        return self.settings.bootstrap_servers

    def dataset(self, shape: Shape, topic: str = READINGS.name) -> Dataset:
        """Make a topic if it is not there, and publish a dataset to it."""
        if topic not in self.cluster.topic_names():
            self.make_topic(topic)
        return publish(self.servers, topic, self.settings.partitions, shape, config=QUIET)

    def make_topic(self, name: str, config: Mapping[str, str] | None = None) -> None:
        topic = NewTopic(name, self.settings.partitions, 1, config=dict(config or {}))
        for future in self.admin.create_topics([topic]).values():
            future.result()

    def delete_topics(self, names: set[str]) -> None:
        """Delete those of the topics that exist, and wait until they are gone."""
        present = names & self.cluster.topic_names()
        if not present:
            return
        for future in self.admin.delete_topics(sorted(present)).values():
            future.result()
        deadline = time.monotonic() + GONE_SECONDS
        while self.cluster.topic_names() & present:
            if time.monotonic() > deadline:
                raise RuntimeError(f"topics {present} are not gone after {GONE_SECONDS:g} s")
            time.sleep(0.1)

    def new_view(self, series: OnOff = "off") -> None:
        """Begin view version 1 anew: nothing is applied."""
        changelogs = {view.changelog(1).name for view in all_views()}
        self.delete_topics({*changelogs, VIEWS.name, QUARANTINE.name})
        settings = self.settings.model_copy(update={"series": series})
        cluster = ClusterAdmin(settings)
        create(cluster, settings)
        ensure_first_view(cluster, 1, rules_id=rules_with(series))


@contextmanager
def standing(partitions: int = 4) -> Iterator[Stand]:
    """Start a broker with our topics in a directory that is removed at the end."""
    with (
        tempfile.TemporaryDirectory(prefix="energy-bench-") as directory,
        LocalBroker(Path(directory) / "broker", port=0) as broker,
    ):
        environ = dict(os.environ) | {
            "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
            "ENERGY_HOME": directory,
            "ENERGY_REPLICATION_FACTOR": "1",
            "ENERGY_PARTITIONS": str(partitions),
        }
        settings = TopicSettings.load(environ)
        cluster = ClusterAdmin(settings)
        create(cluster, settings)
        admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers, **QUIET})
        yield Stand(Path(directory), environ, settings, cluster, admin)
