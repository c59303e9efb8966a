"""Which Apache Kafka it runs on: `python -m tests.kafka_versions 3.7.2 3.9.1 4.0.1 4.1.2`.

For each version it fetches the jars, once, starts a broker of its own on them and runs a whole
pipeline there: topics and their check, a fleet, two workers, an API with a client that reads and
one that writes, a worker killed, one killed that loses its state, the broker killed, the books,
and a replay that is promoted. Everything is held against what Kafka acknowledged, by the judges
of the fault tests. Prints a line for each, as a table of Markdown, and ends with 1 where one
failed. docs/TOPICS.md has the table.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

from local_stack.broker import jars
from local_stack.broker.java import find_java, java_version
from local_stack.broker.process import LocalBroker
from tests import http_client
from tests.fault.http_reader import HttpReader
from tests.fault.http_writer import HttpWriter
from tests.fault.pipeline import Pipeline
from tests.fault.server import ApiProcess
from tests.fault.workers import Workers
from tests.kafka import Kafka, wait_until
from tests.shared_broker import QUICK_PROPERTIES

ENERGY = str(Path(sys.executable).with_name("energy"))
COMMITS = "single batches on logs of broker 1: "
PROGRESS = 1_000
COMMAND_SECONDS = 120


class Tried(NamedTuple):
    """What came of one version."""

    version: str
    commits: str = "not known"
    records: int = 0
    wrong: str = ""
    seconds: float = 0.0

    @property
    def row(self) -> str:
        result = self.wrong or "every total, place and quarter as acknowledged"
        cells = (self.version, self.commits, f"{self.records:,}", result, f"{self.seconds:.0f} s")
        return f"| {' | '.join(cells)} |"


def libs_of(version: str) -> Path:
    """Return the jars of a version; fetches them where they are not."""
    directory = jars.jar_directory()
    if version == jars.VERSION:
        jars.fetch(directory, print)
        return directory
    directory = directory.with_name(f"kafka-{version}")
    if not list(directory.glob("*.jar")):
        with tempfile.TemporaryDirectory(dir=directory.parent) as new:
            jars.fetch_version(version, Path(new, "jars"))
            Path(new, "jars").replace(directory)
    return directory


def energy(pipeline: Pipeline, *arguments: str) -> str:
    """Run the command; returns what it printed."""
    done = subprocess.run(
        [ENERGY, *arguments],
        env={"PATH": os.environ["PATH"], **pipeline.environ},
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"energy {' '.join(arguments)}: {done.stdout}{done.stderr}"
    return done.stdout


def try_it(version: str, directory: Path) -> Tried:
    """Run all of it on one version. Raises: AssertionError, what is wrong."""
    with ExitStack() as stack:
        broker = LocalBroker(
            directory / "broker", 0, properties=QUICK_PROPERTIES, libs=libs_of(version)
        )
        stack.callback(broker.kill)
        broker.start()
        broker.wait_ready(60)
        pipeline = Pipeline(Kafka(broker.bootstrap_servers), directory, seed=1)
        stack.callback(pipeline.close)
        api = ApiProcess(directory, pipeline.environ)
        stack.callback(api.kill)
        try:
            return _run(version, directory, broker, pipeline, api, stack.callback)
        except BaseException:
            pipeline.show_logs()
            print(api.log[-3000:])
            raise


def _run(
    version: str,
    directory: Path,
    broker: LocalBroker,
    pipeline: Pipeline,
    api: ApiProcess,
    at_the_end: Callable[..., Any],
) -> Tried:
    energy(pipeline, "topics", "check")
    workers = [pipeline.workers.add(), pipeline.workers.add()]
    api.start()
    pipeline.fleet.start().oracle.others_publish = True
    pipeline.wait_progress(seconds=60)
    reader = HttpReader(api.port, api.token).start()
    at_the_end(reader.stop)
    writer = HttpWriter(api.port, api.token, clients=2, wait=True).start()
    at_the_end(writer.stop)
    for lose_directory in (False, True):
        pipeline.wait_progress(PROGRESS)
        pipeline.workers.replace(workers[lose_directory], lose_directory=lose_directory)
    pipeline.wait_progress(PROGRESS)
    broker.kill()
    broker.start()
    broker.wait_ready(60)
    pipeline.wait_progress(PROGRESS, 90)

    writer.stop()
    pipeline.drain()
    wait_until(lambda: reader.lag_records == 0, "the API has no lag", 60)
    reader.stop()
    found, wrong = pipeline.settle()
    log = list(pipeline.kafka.each("energy_consumption"))
    seen, written = reader.verdict(log), writer.verdict(log)
    wrong += [f"{name}: {seen['told']}" for name in ("I10", "I11", "I12") if seen[name]]
    wrong += written["wrong"]
    assert not wrong, "; ".join(map(str, wrong))

    assert "balance" in energy(pipeline, "check")
    before = totals(api)
    # They leave the version that is no longer served, and are started again on the new one.
    others = directory / "others"
    others.mkdir()
    again = Workers(others, pipeline.environ)
    at_the_end(again.abandon)
    again.add()
    again.wait_working()
    energy(pipeline, "replay", "start", "--promote")
    wait_until(lambda: served(api) == "2", "the new version is served", 60)
    assert totals(api) == before, "the replay gives other totals"
    assert sum(readings for _, readings in before.values()) + found["quarantined"] == len(log)
    assert "balance" in energy(pipeline, "check")
    energy(pipeline, "topics", "check")
    assert api.stop() == 0, api.log[-1000:]
    said = [line.rpartition(COMMITS)[2] for line in workers[0].log.splitlines() if COMMITS in line]
    commits = {"used": "single batches, proven"}.get(said[-1], said[-1]) if said else "not said"
    return Tried(version, commits, len(log))


def asked(api: ApiProcess, target: str) -> http_client.Answer:
    return http_client.get(
        api.port, f"/v0/pipes/energy_consumption_by_device.json{target}", api.token
    )


def served(api: ApiProcess) -> str | None:
    return asked(api, "?limit=0").headers["X-View-Version"]


def totals(api: ApiProcess) -> dict[str, tuple[Fraction, int]]:
    """Return the exact total and the readings of each device, as clients read them."""
    return {
        row["device_id"]: (Fraction(row["total_energy_consumed_exact"]), row["readings"])
        for row in json.loads(asked(api, "?exact=true").text)["data"]
    }


def main(versions: list[str]) -> int:
    """Try them one after the other; print the table."""
    print(f"Java {java_version(find_java())}, one broker, two workers, one API", flush=True)
    tried = []
    for version in versions or [jars.VERSION]:
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as directory:
            try:
                found = try_it(version, Path(directory))
            except Exception as error:
                found = Tried(version, wrong=f"FAILED: {error}")
        tried.append(found._replace(seconds=time.monotonic() - began))
        print(tried[-1].row, flush=True)
    print("\n| Apache Kafka | commits | records | result | took |\n|---|---|---|---|---|")
    print("\n".join(each.row for each in tried))
    return 1 if any(each.wrong for each in tried) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
