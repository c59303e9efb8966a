"""`energy up`: broker, topics, workers, API and, for a demo, a fleet; in this order.

Reads: the environment it is handed. Writes: below ENERGY_HOME, and what its parts write.
Guarantees: what is wrong with the settings, the home or the ports, and what is missing, is said
before anything is started; after the end no part runs, also when this process is killed.

    check -> broker -> topics, first view -> workers, API, demo -> ready -> until stopped
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from pathlib import Path

from api.auth.token_store import ensure_admin_token
from api.settings import ApiSettings
from contract.topics import READINGS
from kafka_io.cluster_changes import ClusterAdmin
from kafka_io.threads import in_thread
from local_stack.broker.java import check_broker_parts
from local_stack.broker.process import LocalBroker
from local_stack.home import only_one_on, open_home
from local_stack.parts import BrokerPart, ModulePart, Part, Say
from local_stack.ports import free_port, refuse_taken
from local_stack.previous_view_workers import KeptVersions
from local_stack.readiness import Place, until_ready
from local_stack.signals import Stop
from local_stack.supervisor import Supervisor
from local_stack.welcome import base_url, welcome
from operations.bootstrap import prepare
from operations.errors import OperationError
from operations.settings import BrokerSettings, TopicSettings
from stream_app.settings import WorkerSettings

#: Promised: all within 10 s; the rest is for this process to end.
STOP_SECONDS = 9.0
#: A home at 100 readings/s, some records bad.
DEMO_FLEET = ("--devices", "24", "--rate", "100", "--bad", "0.001")
_LOCAL_HOSTS = ("127.0.0.1", "localhost", "0.0.0.0", "::", "::1")


@dataclass(frozen=True)
class UpOptions:
    """What `energy up` is asked for."""

    workers: int = 1
    with_broker: bool = True
    with_demo: bool = False
    home: Path | None = None


def up(options: UpOptions, environ: Mapping[str, str], say: Say) -> int:
    """Run the stack until a signal comes or a part is given up before all is ready.

    Returns: 0 after SIGTERM, 130 after Ctrl-C, the code of the part that was given up.
    Raises: OperationError, SettingError.
    """
    settings = BrokerSettings.load(environ, home=options.home)
    if options.with_broker:
        check_broker_parts(say)
    home = open_home(settings.home)
    with only_one_on(home), Stop() as stop:
        return asyncio.run(Stack(options, home, settings.broker_port, environ, say).run(stop))


class Stack:
    """One local stack, from start to end."""

    def __init__(
        self,
        options: UpOptions,
        home: Path,
        broker_port: int,
        environ: Mapping[str, str],
        say: Say,
    ) -> None:
        self._options = options
        self._home = home
        self._say = say
        self._environ = dict(environ) | {"ENERGY_HOME": str(home)}
        self._demo = ("--from", "-0h", *DEMO_FLEET)
        self._broker: LocalBroker | None = None
        if options.with_broker:
            self._broker = LocalBroker(home / "broker", broker_port)
            # How to log in to another cluster is no use with the local one.
            kept = {k: v for k, v in self._environ.items() if not k.startswith("KAFKA_")}
            self._environ = kept | {"KAFKA_BOOTSTRAP_SERVERS": self._broker.bootstrap_servers}
        # All settings of all parts, before the first of them starts.
        self._topics = TopicSettings.load(self._environ)
        self._api = ApiSettings.load(self._environ)
        worker = WorkerSettings.load(self._environ)
        self._worker_host, first_port = worker.http_host, worker.http_port
        self._worker_ports = [
            first_port + number if first_port else free_port() for number in range(options.workers)
        ]
        self._refuse_taken_ports()

    async def run(self, until: Stop) -> int:
        """Start all, wait for the end, stop all; returns the exit code."""
        stop = until.future()
        supervisor = Supervisor(self._say)
        life = asyncio.create_task(self._live(supervisor))
        try:
            await asyncio.wait([life, stop], return_when=asyncio.FIRST_COMPLETED)
            return stop.result() if stop.done() else life.result()
        finally:
            life.cancel()
            await asyncio.gather(life, return_exceptions=True)
            self._say("stopping")
            await supervisor.stop(STOP_SECONDS)

    async def _live(self, supervisor: Supervisor) -> int:
        if self._broker is not None:
            self._say(f"broker: starting on {self._broker.bootstrap_servers}")
            await supervisor.start(BrokerPart(self._broker, self._say))
        cluster = ClusterAdmin(self._topics)
        partitions = await self._prepare(cluster)
        token = ensure_admin_token(self._home, self._api.tokens_path(self._home))
        supervisor.keep(self._worker(number) for number in range(self._options.workers))
        supervisor.keep([self._module("api", "api")])
        kept = KeptVersions(self._environ, self._home, supervisor, self._say)
        background = asyncio.create_task(kept.run(cluster))
        if self._options.with_demo:
            supervisor.keep([self._module("demo", "cli", "simulate", *self._demo)])
        workers = [(_reachable(self._worker_host), port) for port in self._worker_ports]
        ready = until_ready(partitions, workers, self._api_place())
        if not await self._is_first(ready, supervisor.gave_up.wait()):
            return supervisor.exit_code
        url = base_url(self._api.host, self._api.port)
        self._say(f"ready {url}")
        self._say(welcome(url, token))
        # From here on the others continue, whatever is given up.
        await background
        return 0

    @staticmethod
    async def _is_first(one: Awaitable[object], other: Awaitable[object]) -> bool:
        """Wait for one of two things; returns whether it was the first of them."""
        tasks = [asyncio.ensure_future(one), asyncio.ensure_future(other)]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        is_one = tasks[0].done()
        for task in tasks:
            task.cancel()
        return is_one

    async def _prepare(self, cluster: ClusterAdmin) -> int:
        """Make what is missing; returns the number of partitions of the readings topic."""
        self._say("topics: checking")
        done = await in_thread(lambda: prepare(cluster, self._topics))
        if READINGS.name in done.created:
            # Something to look at from the first minute on; not again with every start.
            self._demo = ("--from", "-7d", *DEMO_FLEET)
        if done.created:
            self._say(f"topics: made {', '.join(done.created)}")
        for difference in done.differences:
            self._say(f"topics: {difference.text}")
        if done.view_version is None:
            raise OperationError(
                "the topics have other partitions than ENERGY_PARTITIONS says; nothing was"
                " changed: set it to what they have, as told above; `energy topics grow` adds some"
            )
        # None of them differs from what is declared.
        return self._topics.partitions

    def _worker(self, number: int) -> Part:
        environ = self._environ | {
            "STREAM_APP_DATADIR": str(self._home / f"worker-{number}"),
            "STREAM_APP_HTTP_PORT": str(self._worker_ports[number]),
        }
        return ModulePart(f"worker-{number}", ["stream_app"], environ, self._say)

    def _module(self, name: str, *module: str) -> Part:
        return ModulePart(name, module, self._environ, self._say)

    def _api_place(self) -> Place:
        return _reachable(self._api.host), self._api.port

    def _refuse_taken_ports(self) -> None:
        if self._broker is not None:
            refuse_taken(self._broker.port)
        if self._api.host in _LOCAL_HOSTS:
            refuse_taken(self._api.port, "API_PORT")
        for port in self._worker_ports:
            refuse_taken(port, "STREAM_APP_HTTP_PORT")


def _reachable(host: str) -> str:
    """Return where a part that listens on a host is asked, from this machine."""
    return "127.0.0.1" if host in _LOCAL_HOSTS else host
