"""The long run: `python -m tests.fault --kills 300 --seed 7`, which is `make faults`.

Some pipelines side by side, each with a broker, workers, an API, a client that polls it and two
that write to it, under steady load. Readings are of many days, of which the series keeps one.
Round after round something happens to them (rounds.py), and `energy check` is run meanwhile,
until so many workers were killed; then all is drained and held against what Kafka acknowledged.
One line for each round, a table at the end; ends 0 only if every invariant holds.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.fault import quick_days
from tests.fault.commands import Books
from tests.fault.fleet import READINGS
from tests.fault.http_reader import HttpReader
from tests.fault.http_writer import HttpWriter
from tests.fault.pipeline import Pipeline
from tests.fault.rounds import ROUNDS, Scene, choose
from tests.fault.server import ApiProcess
from tests.kafka import Kafka, wait_until
from tests.shared_broker import QUICK_PROPERTIES, start_broker

WORKERS = 2
READY_SECONDS = 180
LONGEST_PAUSE_SECONDS = 180
PROGRESS_RECORDS = 300


def main(arguments: list[str]) -> int:
    """Run, print, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.fault", description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="of workers, over all pipelines")
    parser.add_argument("--seed", type=int, default=None, help="default: a random one, printed")
    parser.add_argument("--pipelines", type=int, default=2)
    parser.add_argument("--rate", type=int, default=1_000, help="readings/s of each pipeline")
    options = parser.parse_args(arguments)
    seed = int.from_bytes(os.urandom(4)) if options.seed is None else options.seed
    print(f"seed {seed}, {options.kills} kills over {options.pipelines} pipelines", flush=True)
    began = time.monotonic()
    share = -(-options.kills // options.pipelines)
    with tempfile.TemporaryDirectory() as directory, ThreadPoolExecutor() as pool:
        runs = [
            pool.submit(
                run, Path(directory, str(number)), number, seed + number, share, options.rate
            )
            for number in range(options.pipelines)
        ]
        results = [each.result() for each in runs]
    total = summary([found for found, _ in results])
    total |= {"seed": seed, "seconds": round(time.monotonic() - began)}
    wrong = [f"pipeline {number}: {each}" for number, (_, w) in enumerate(results) for each in w]
    print("\n".join(wrong))
    print(table(total))
    print("broken" if wrong else "drift 0, every invariant holds")
    return 1 if wrong else 0


def run(
    directory: Path, number: int, seed: int, kills: int, rate: int
) -> tuple[dict[str, Any], list[str]]:
    """Run one pipeline to its end; returns what was found, and what is wrong."""
    directory.mkdir(mode=0o700)
    with ExitStack() as stack:
        scene = set_up(directory, seed, rate, stack)
        try:
            found, wrong = judged(scene, happen(scene, number, kills))
        except BaseException:
            scene.pipeline.show_logs()
            raise
        if wrong:
            scene.pipeline.show_logs()
        return found, wrong


def set_up(directory: Path, seed: int, rate: int, stack: ExitStack) -> Scene:
    broker = start_broker(directory / "broker", QUICK_PROPERTIES)
    stack.callback(broker.kill)
    days = quick_days.environ()
    pipeline = Pipeline(Kafka(broker.bootstrap_servers), directory, seed=seed, **days)
    stack.callback(pipeline.close)
    api = ApiProcess(directory, pipeline.environ)
    stack.callback(api.kill)
    reader = HttpReader(api.port, api.token)
    stack.callback(reader.stop)
    writer = HttpWriter(api.port, api.token, clients=2, wait=True)
    stack.callback(writer.stop)
    workers = [pipeline.workers.add(command=quick_days.COMMAND) for _ in range(WORKERS)]
    api.start()
    calendar = quick_days.calendar_since(float(days[quick_days.BEGAN]))
    pipeline.fleet_of(rate=rate, calendar=calendar).start().oracle.others_publish = True
    pipeline.wait_progress(seconds=READY_SECONDS)
    books, chance = Books(pipeline.environ), random.Random(seed)
    return Scene(broker, pipeline, workers, api, reader.start(), writer.start(), books, chance)


def happen(scene: Scene, number: int, kills: int) -> dict[str, Any]:
    """Round after round until so many workers were killed."""
    rounds = Counter({each.__name__: 0 for each in ROUNDS})
    killed, longest = 0, 0.0
    while killed < kills:
        time.sleep(scene.chance.uniform(0.0, 1.0))  # the moment is the test
        round_of = choose(scene.chance)
        happened = round_of(scene)
        began = time.monotonic()
        with ThreadPoolExecutor(1) as operator:
            # At once: the books balance, or can be brought to, whatever just happened.
            checked = operator.submit(scene.books.check)
            scene.pipeline.wait_progress(PROGRESS_RECORDS, LONGEST_PAUSE_SECONDS)
            pause = time.monotonic() - began
        killed, longest = killed + happened.kills, max(longest, pause)
        rounds[round_of.__name__] += 1
        print(
            f"[{number}] {killed}/{kills} kills: {happened.what}; goes on after {pause:.1f} s, "
            f"{scene.pipeline.applied_records():,} applied, {scene.reader.polls:,} polls; "
            f"{checked.result()}",
            flush=True,
        )
    return {"kills": killed, "rounds": dict(rounds), "longest_pause_seconds": round(longest, 1)}


def judged(scene: Scene, found: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Drain, let the client see the end, and hold everything against the log."""
    pipeline, reader, writer = scene.pipeline, scene.reader, scene.writer.stop()
    pipeline.drain()
    wait_until(lambda: reader.lag_records == 0, "the API has no lag", READY_SECONDS)
    reader.stop()
    settled, wrong = pipeline.settle()
    settled["rows_added_up"] = pipeline.series.rows_added_up()
    scene.books.check()
    settled["checks"], wrong = scene.books.checks, wrong + scene.books.wrong
    wrong += [] if settled["rows_added_up"] else ["no quarter became old: the calendar stood still"]
    read = reader.verdict(pipeline.kafka.each(READINGS))
    wrong += [
        f"{name} is {read[name]}: {read['told']}" for name in ("I10", "I11", "I12") if read[name]
    ]
    wrong += [] if all(reader.answers.values()) else [f"nothing was compared: {reader.answers}"]
    written = writer.verdict(pipeline.kafka.each(READINGS))
    wrong += written["wrong"][:10]
    read["rows_answered"] = written["rows_acknowledged"]
    if "Traceback" in scene.api.log:
        wrong.append(f"the API shows a traceback: {scene.api.log[-2000:]}")
    return found | settled | read, wrong


def summary(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Add up what several pipelines found."""
    longest = {name: max(found[name] for found in results) for name in _LONGEST}
    drift = {"drift": {"I1": ", ".join(found["I1"] for found in results)}}
    numbers = {
        name: sum(found[name] for found in results)
        for name, value in results[0].items()
        if isinstance(value, int) and name != "seed"
    }
    # Also those that have not come.
    rounds = {
        kind: sum(found["rounds"][kind] for found in results) for kind in results[0]["rounds"]
    }
    exits = Counter(code for found in results for code in found["exits"])
    return drift | numbers | longest | {"rounds": rounds, "exits": dict(exits)}


def table(found: dict[str, Any]) -> str:
    """One line for each figure, and for each kind of what was counted by kind."""
    lines = {}
    for name, value in found.items():
        kinds = value if isinstance(value, dict) else {"": value}
        lines |= {f"{name} {kind}": figure for kind, figure in kinds.items()}
    width = max(map(len, lines))
    return "\n".join(f"{name:<{width}} {figure}" for name, figure in lines.items())


_LONGEST = ("longest_pause_seconds", "drain_seconds")

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
