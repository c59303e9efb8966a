"""Keeps a worker on each view version that `energy replay promote --back` may return to.

Reads: `energy_views`. Guarantees: the version before the live one continues counting until it is
dropped. Its worker has a directory of its own, for it may become live again beside it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from contract.view_versions import Views
from contract.views import is_known, known_rules
from kafka_io.cluster import Cluster
from kafka_io.errors import ClusterError
from kafka_io.log_reader import read_views
from kafka_io.threads import in_thread
from local_stack.parts import ModulePart, Say
from local_stack.supervisor import Supervisor
from operations.replay.drop import kept_directory

_LOOK_EVERY_SECONDS = 2.0


class KeptVersions:
    """The workers of versions that were live before."""

    def __init__(
        self, environ: Mapping[str, str], home: Path, supervisor: Supervisor, say: Say
    ) -> None:
        self._environ = dict(environ)
        self._home = home
        self._supervisor = supervisor
        self._say = say
        self._parts: dict[int, ModulePart] = {}

    async def run(self, cluster: Cluster) -> None:
        """Look every few seconds until cancelled."""
        while True:
            try:
                self.turn_to(await in_thread(lambda: read_views(cluster.settings)))
            except ClusterError:
                pass  # The workers and the API say that Kafka is away.
            await asyncio.sleep(_LOOK_EVERY_SECONDS)

    def turn_to(self, views: Views) -> None:
        """Start the workers that are missing; those of dropped versions end by themselves."""
        for version in views.in_state("previous"):
            number = version.view_version
            if number in self._parts:
                continue
            if not is_known(version.rules_id):
                self._say(
                    f"view version {number} follows rules {version.rules_id}, this program has"
                    f" rules {known_rules()}: it is kept as it is, and a program with its rules"
                    " must work on it"
                )
            environ = self._environ | {
                "STREAM_APP_VIEW_VERSION": str(number),
                "STREAM_APP_DATADIR": str(kept_directory(self._home, number)),
                "STREAM_APP_HTTP_PORT": "0",
            }
            self._parts[number] = ModulePart(f"view-{number}", ["stream_app"], environ, self._say)
            if is_known(version.rules_id):
                self._supervisor.keep([self._parts[number]], may_finish=True)
