"""`energy replay start`: workers of the next view version, in the foreground, until it is served.

Writes: what `building` and `gate` write; the workers write the rest. Guarantees: interrupted at
any moment, the same command continues where it was; when it ends, no worker of it runs.

    begin or continue -> workers fold -> gate open -> promoted -> others took over -> 0
                          '-- dropped by `abort` --------------------------------> 0
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from contract.exit_codes import RESTART_ME
from contract.topics import READINGS, app_id
from contract.view_versions import Views, ViewVersion
from kafka_io.cluster_changes import ClusterAdmin
from kafka_io.errors import ClusterRefused, NoBroker, NotReadable
from kafka_io.log_reader import read_views
from kafka_io.threads import in_thread
from local_stack.home import only_one_on, open_home
from local_stack.parts import ModulePart, Say
from local_stack.replay_progress import Watched
from local_stack.signals import Stop
from local_stack.supervisor import Supervisor
from operations.replay.begin import Wanted, begin, refuse_a_second
from operations.replay.drop import replay_directory
from operations.replay.positions import Positions
from operations.replay.promotion import GateShut, behind, promote
from operations.settings import BrokerSettings, TopicSettings
from stream_app.process.member import client_id
from stream_app.settings import WorkerSettings

STOP_SECONDS = 9.0
#: A killed replay's workers are members of the group until their sessions time out.
_FORGOTTEN_SECONDS = 15.0
_LOOK_EVERY_SECONDS = 0.5
#: Within so many records of the end the gate is tried: under traffic the end is never reached.
_NEAR_RECORDS = 20_000
#: So much less of the processor than whatever serves live traffic on the same machine.
_NICENESS = 10
#: A fetch that takes longer to fold than this, in seconds, makes a bounded rate uneven.
_FETCH_SECONDS = 0.5
_BYTES_OF_A_READING = 120
_SMALLEST_FETCH = 64 * 1024


@dataclass(frozen=True)
class ReplayOptions:
    """What `energy replay start` is asked for."""

    wanted: Wanted = field(default_factory=Wanted)
    workers: int = 1
    with_promote: bool = False
    max_rate: int | None = None


def replay(options: ReplayOptions, environ: Mapping[str, str], say: Say) -> int:
    """Run until served, dropped or stopped (75, or 130 after Ctrl-C); returns the exit code.

    Raises: OperationError, SettingError, WorkerError.
    """
    home = open_home(BrokerSettings.load(environ).home)
    settings = TopicSettings.load(environ)
    WorkerSettings.load(environ)
    with only_one_on(home, "replay start"):
        cluster = ClusterAdmin(settings)
        version, is_new = begin(cluster, settings, options.wanted)
        how = "begun" if is_new else "continuing"
        hands = "1 worker" if options.workers == 1 else f"{options.workers} workers"
        say(f"view version {version.view_version}: {how}, with {hands}")
        os.nice(_NICENESS)
        with Stop(RESTART_ME) as stop:
            return asyncio.run(Replay(options, home, cluster, version, environ, say).run(stop))


class Replay:
    """One view version on its way."""

    def __init__(
        self,
        options: ReplayOptions,
        home: Path,
        cluster: ClusterAdmin,
        version: ViewVersion,
        environ: Mapping[str, str],
        say: Say,
    ) -> None:
        self._options = options
        self._cluster = cluster
        self._version = version
        self._number = version.view_version
        self._directory = replay_directory(home, self._number)
        self._watched = Watched(self._number, say)
        self._workers = [self._worker(number, environ) for number in range(options.workers)]

    async def run(self, until: Stop) -> int:
        """Start the workers, wait for the end, stop them; returns the exit code."""
        stop = until.future()
        supervisor = Supervisor(self._watched.say)
        with self._watched:
            life = asyncio.create_task(self._live(supervisor))
            try:
                await asyncio.wait([life, stop], return_when=asyncio.FIRST_COMPLETED)
                return life.result() if life.done() else stop.result()
            finally:
                life.cancel()
                await asyncio.gather(life, return_exceptions=True)
                await supervisor.stop(STOP_SECONDS)

    async def _live(self, supervisor: Supervisor) -> int:
        others = await in_thread(self._lingering)
        refuse_a_second(self._cluster, self._version, others)
        supervisor.keep(self._workers, may_finish=True)
        positions = await in_thread(lambda: Positions(self._cluster, self._version))
        while not supervisor.gave_up.is_set():
            try:
                views = await in_thread(lambda: read_views(self._cluster.settings))
                state = views.versions[self._number].state
                if state == "dropped":
                    self._watched.say(f"view version {self._number} was dropped")
                    return 0
                if state != "building":
                    return await self._hand_over(supervisor, state)
                await self._look(views, positions)
            except (NoBroker, ClusterRefused, NotReadable) as error:
                self._watched.once(f"cannot check the progress now: {error}; the workers continue")
            await asyncio.sleep(_LOOK_EVERY_SECONDS)
        return supervisor.exit_code

    async def _look(self, views: Views, positions: Positions) -> None:
        partitions = await in_thread(positions.now)
        self._watched.show(partitions)
        live, number = views.live, self._number
        assert live is not None
        if sum(p.target - p.at for p in partitions) > _NEAR_RECORDS:
            return
        if self._options.with_promote:
            try:
                done = await in_thread(lambda: promote(self._cluster, live, number, 1.0))
            except GateShut:
                return
            if done.was_written:
                self._watched.say(f"view version {number} is live; {live} is kept for --back")
        elif not await in_thread(
            lambda: behind(self._cluster, views.versions[live], self._version)
        ):
            self._watched.once(
                "the gate is open: `energy replay status` compares, `energy replay promote` serves"
            )

    async def _hand_over(self, supervisor: Supervisor, state: str) -> int:
        """Go on working until others do; then end."""
        self._watched.once(
            f"view version {self._number} is {state}; this command runs until other workers have"
            " taken over"
        )
        has_left = False
        while not supervisor.gave_up.is_set():
            foreign = [*filter(self._is_foreign, await in_thread(self._owners))]
            if has_left and len(foreign) >= self._version.partitions:
                shutil.rmtree(self._directory, ignore_errors=True)
                self._watched.say("other workers have taken it over")
                return 0
            if foreign and not has_left:
                await supervisor.stop(STOP_SECONDS)
                has_left = True
            views = await in_thread(lambda: read_views(self._cluster.settings))
            if views.versions[self._number].state == "dropped":
                return 0
            await asyncio.sleep(_LOOK_EVERY_SECONDS)
        return supervisor.exit_code

    def _owners(self) -> list[str]:
        owners = self._cluster.owners(app_id(self._number)).items()
        return [owner for place, owner in owners if place.topic == READINGS.name]

    def _is_foreign(self, member: str) -> bool:
        # `client-id@address`, as `Cluster.members` gives it.
        own = [client_id(part.pid) for part in self._workers if part.pid is not None]
        return member.rpartition("@")[0] not in own

    def _lingering(self) -> list[str]:
        """Return who works on the version, once those that are dead are forgotten."""
        deadline = time.monotonic() + _FORGOTTEN_SECONDS
        while members := self._cluster.members(app_id(self._number)):
            if time.monotonic() > deadline:
                break
            time.sleep(_LOOK_EVERY_SECONDS)
        return members

    def _worker(self, number: int, environ: Mapping[str, str]) -> ModulePart:
        own = dict(environ) | {
            "STREAM_APP_VIEW_VERSION": str(self._number),
            "STREAM_APP_DATADIR": str(self._directory / f"worker-{number}"),
            "STREAM_APP_HTTP_PORT": "0",
        }
        if self._options.max_rate is not None:
            rate = max(1, self._options.max_rate // self._options.workers)
            fetch = int(rate * _FETCH_SECONDS * _BYTES_OF_A_READING)
            own["STREAM_APP_MAX_RATE"] = str(rate)
            own.setdefault("STREAM_APP_FETCH_BYTES", str(max(_SMALLEST_FETCH, min(fetch, 2**21))))
        return ModulePart(f"replay-{number}", ["stream_app"], own, self._watched.say)
