"""What can happen to a pipeline in one round of the long run, each with its weight.

A round does one thing at a random moment and returns what it did, in words, and how many workers
it killed. Workers that end with 75 are started again by their supervisor, as always.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from local_stack.broker.process import LocalBroker
from tests.fault import quick_days
from tests.fault.commands import Books, energy, running
from tests.fault.damage import damage, damage_copy
from tests.fault.failpoints import STEPS
from tests.fault.http_reader import HttpReader
from tests.fault.http_writer import HttpWriter
from tests.fault.pipeline import SESSION_SECONDS, Pipeline
from tests.fault.server import ApiProcess
from tests.fault.workers import WorkerProcess
from tests.kafka import wait_until
from tests.pids import is_running, parts_of

STORM_ENDS = 5
#: Steps that a worker passes but once for each partition that it takes over.
ONCE = ("fenced", "recovered")
#: For a version to be built, or a copy, next to all that happens.
BUILD_SECONDS = 180


class Scene(NamedTuple):
    """One whole pipeline with its broker, its API and clients of that."""

    broker: LocalBroker
    pipeline: Pipeline
    workers: list[WorkerProcess]
    api: ApiProcess
    reader: HttpReader
    writer: HttpWriter
    books: Books
    chance: random.Random


class Happened(NamedTuple):
    what: str
    kills: int = 0


def kill(scene: Scene) -> Happened:
    worker = scene.chance.choice(scene.workers)
    scene.pipeline.workers.replace(worker)
    return Happened(f"{worker.directory.name} killed", 1)


def lose_directory(scene: Scene) -> Happened:
    worker = scene.chance.choice(scene.workers)
    scene.pipeline.workers.replace(worker, lose_directory=True)
    return Happened(f"{worker.directory.name} killed, its directory lost", 1)


def damage_stores(scene: Scene) -> Happened:
    """Kill a worker and damage each of its stores in some way."""
    worker = scene.chance.choice(scene.workers)
    told: list[str] = []

    def meanwhile() -> None:
        stores = [path for path in worker.directory.glob("**/*.db") if (path / "CURRENT").exists()]
        told.extend(damage(store, scene.chance) for store in stores)

    scene.pipeline.workers.replace(worker, meanwhile=meanwhile)
    return Happened(f"{worker.directory.name} killed, stores damaged ({', '.join(told)})", 1)


def kill_all(scene: Scene) -> Happened:
    for worker in scene.workers:
        scene.pipeline.workers.replace(worker, lose_directory=scene.chance.random() < 0.2)
    return Happened("all workers killed", len(scene.workers))


def storm(scene: Scene) -> Happened:
    """Workers killed or stopped one after the other, each into the rebalance before."""
    kills = 0
    for _ in range(STORM_ENDS):
        worker = scene.chance.choice(scene.workers)
        if scene.chance.random() < 0.5:
            scene.pipeline.workers.replace(worker)
            kills += 1
        else:
            scene.pipeline.workers.restart(worker)
        time.sleep(scene.chance.uniform(0.05, 1.0))  # the moment is the test
    return Happened(f"storm of {STORM_ENDS} ends", kills)


def kill_at_step(scene: Scene) -> Happened:
    """Kill a worker, and once more at a step of its work."""
    worker = scene.chance.choice(scene.workers)
    step = scene.chance.choice(STEPS)
    hits = worker.log.count("failpoint: ")
    worker.failpoints.append(f"{step}:{1 if step in ONCE else scene.chance.randint(1, 100)}")
    scene.pipeline.workers.replace(worker)
    wait_until(lambda: worker.log.count("failpoint: ") > hits, f"it was killed at {step}", 90)
    return Happened(f"{worker.directory.name} killed at {step}", 2)


def zombie(scene: Scene) -> Happened:
    """SIGSTOP for less or more than the session, then SIGCONT."""
    worker = scene.chance.choice(scene.workers)
    seconds = scene.chance.uniform(0.2, 3 * SESSION_SECONDS)
    worker.send(signal.SIGSTOP)
    time.sleep(seconds)  # the length is the test
    worker.send(signal.SIGCONT)
    return Happened(f"{worker.directory.name} stopped for {seconds:.1f} s")


def kill_broker(scene: Scene) -> Happened:
    broker = scene.broker
    assert broker.pid is not None
    os.kill(broker.pid, signal.SIGKILL)
    wait_until(lambda: broker.pid is None, "the broker has ended")
    broker.start()
    broker.wait_ready(60)
    return Happened("broker killed")


def restart_broker(scene: Scene) -> Happened:
    scene.broker.stop(timeout_seconds=20)
    scene.broker.start()
    scene.broker.wait_ready(60)
    return Happened("broker restarted")


def kill_api(scene: Scene) -> Happened:
    scene.api.kill()
    scene.reader.new_life()
    scene.api.start()
    return Happened("API killed")


def lose_copies(scene: Scene) -> Happened:
    _replace_api(scene, shutil.rmtree)
    return Happened("API killed, its copies lost")


def damage_copies(scene: Scene) -> Happened:
    """Kill the API and damage each of its copies, which it has to notice."""
    told: list[str] = []
    noticed = scene.api.log.count("is built again")

    def damage_all(views: Path) -> None:
        told.extend(
            damage_copy(each, scene.chance) for each in sorted(views.glob("*/energy-v1-*/copy"))
        )

    _replace_api(scene, damage_all)
    assert scene.api.log.count("is built again") == noticed + len(told), (told, scene.api.log)
    return Happened(f"API killed, its copies damaged ({', '.join(told)})")


def _replace_api(scene: Scene, meanwhile: Callable[[Path], None]) -> None:
    """Kill the API, start it again after something was done to its copies, and see it answer."""
    api, reader = scene.api, scene.reader
    parts = wait_until(lambda: parts_of(api.pid or 0), "it has a follower")
    api.kill()
    # That ends by itself, and writes until then.
    wait_until(lambda: not any(map(is_running, parts.values())), "its follower has ended")
    meanwhile(Path(scene.pipeline.environ["ENERGY_HOME"], "view"))
    reader.new_life()
    before = dict(reader.answers)
    api.start()
    wait_until(
        lambda: all(reader.answers[view] > count for view, count in before.items()),
        "it answers from both views",
        BUILD_SECONDS,
    )


def replay(scene: Scene) -> Happened:
    """Build another version, serve it and go back, and kill a worker before and after that."""
    pipeline, environ = scene.pipeline, scene.pipeline.environ
    # The version before is counted by nobody else, and there would be no way back.
    keeper = pipeline.workers.add(command=quick_days.COMMAND, STREAM_APP_VIEW_VERSION="1")
    # By the clock of its own workers all of the calendar is long ago.
    with running(environ | {"ENERGY_SERIES_DAYS": "0"}, "replay", "start") as building:
        building.wait_said("the gate is open", BUILD_SECONDS)
        differing = _differing(environ)
        assert not any(differing.values()), differing
        kill(scene)
        energy(environ, "replay", "promote", "--wait", "60")
        building.wait_done(BUILD_SECONDS)
    kill(scene)
    said = scene.books.check()
    energy(environ, "replay", "promote", "--back", "--wait", "60")
    keeper.stop()
    energy(environ, "replay", "drop-old")
    return Happened(f"replayed, promoted, taken back, a worker killed each time; {said}", 2)


def _differing(environ: Mapping[str, str]) -> dict[str, int]:
    """How many rows of each view differ, where both versions were at one offset in time."""
    found = json.loads(energy(environ, "replay", "status", "--json"))
    both = [found["differences"], *found["differences_of_other_views"]]
    return {each["view"]: each["rows"] for each in both if each}


#: Done, and its weight.
ROUNDS: dict[Callable[[Scene], Happened], int] = {
    kill: 40,
    lose_directory: 15,
    damage_stores: 15,
    kill_all: 6,
    storm: 8,
    kill_at_step: 10,
    zombie: 8,
    kill_broker: 3,
    restart_broker: 3,
    kill_api: 5,
    lose_copies: 5,
    damage_copies: 5,
    replay: 6,
}


def choose(chance: random.Random) -> Callable[[Scene], Happened]:
    return chance.choices(list(ROUNDS), list(ROUNDS.values()))[0]
