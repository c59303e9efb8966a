"""What one API process does over HTTP: point reads of a million devices, and events taken in.

`python -m tests.benchmarks.http_rates --devices 1000000 --rounds 3`
`python -m tests.benchmarks.http_rates --parts events`   without the point reads

Everything is real: a broker, a worker, an API process, one reading of each device. wrk (it must
be installed) asks over some connections that it keeps, each as fast as it is answered. Point
reads go on while `energy simulate` publishes; in turn with them, under the same flow, a bare
FastAPI route with an equal check of the token is asked. Events are sent while nothing else is:
every answer must be 202, and the log must have grown by exactly the rows that these say.
Exits 1 where a bound is missed.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil

from contract.topics import READINGS
from local_stack.errors import MissingPart
from tests.benchmarks import bare_fastapi, machine, wrk
from tests.benchmarks.figures import Figure, Table
from tests.benchmarks.freshness import cpu_seconds
from tests.benchmarks.listings import Client, fleet, preload
from tests.benchmarks.running import Pipeline, running_pipeline
from tests.kafka import Kafka
from tests.pids import parts_of

PARTS = ("reads", "events", "single")
DEVICES_PATH = "/v0/devices/"
EVENTS_PATH = f"/v0/events?name={READINGS.name}"
ROWS = 1_000
WARM_UP_SECONDS = 20.0
VERSIONS = ("fastapi", "uvloop", "httptools")


class Bound(NamedTuple):
    """What the median of a figure must reach, or must not exceed."""

    figure: str
    limit: float
    is_least: bool

    def is_kept(self, figure: Figure) -> bool:
        return (figure.median >= self.limit) if self.is_least else (figure.median <= self.limit)


BOUNDS = (
    Bound("point reads", 6_000, True),
    Bound("point reads, p99", 20, False),
    Bound(f"bodies of {ROWS:,} rows", 120_000, True),
    Bound("single events", 3_500, True),
)


class Sample(NamedTuple):
    """One round of one kind of request."""

    per_second: float
    p50_ms: float
    p99_ms: float
    meanwhile: str


def main() -> None:
    """Run and print."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--devices", type=int, default=1_000_000)
    arguments.add_argument("--rate", type=int, default=10_000, help="readings/s beside the reads")
    arguments.add_argument("--connections", type=int, default=32)
    arguments.add_argument("--seconds", type=float, default=10, help="of each round")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--parts", default=",".join(PARTS), help="of these")
    options = arguments.parse_args()
    print(f"{machine.as_text(machine.described())}, {versions()}", flush=True)
    missed = []
    with tempfile.TemporaryDirectory() as directory, running_pipeline(Path(directory)) as pipeline:
        preload(pipeline.bootstrap_servers, options.devices)
        Client(pipeline).wait_until_applied(options.devices)
        for table in tables(pipeline, options):
            print(f"\n{table.as_text()}", flush=True)
            missed += [line for figure in table.figures for line in misses(figure)]
    print("\n" + ("\n".join(missed) or "all bounds are kept"))
    sys.exit(bool(missed))


def versions() -> str:
    """Name what `machine` does not."""
    named = [f"{name} {importlib.metadata.version(name)}" for name in VERSIONS]
    return ", ".join([*named, wrk.version()])


def misses(figure: Figure) -> Iterator[str]:
    """Say which bound it misses, if it does."""
    for bound in BOUNDS:
        if bound.figure == figure.name and not bound.is_kept(figure):
            wanted = "at least" if bound.is_least else "at most"
            yield (
                f"missed: {figure.name} {figure.median:,.4g} {figure.unit}, "
                f"wanted {wanted} {bound.limit:,g}"
            )


def tables(pipeline: Pipeline, options: argparse.Namespace) -> Iterator[Table]:
    """Measure one part after the other."""
    parts = options.parts.split(",")
    if "reads" in parts:
        with fleet(pipeline.bootstrap_servers, options):
            yield reads(pipeline, options)
    if "events" in parts:
        yield events(pipeline, options, ROWS)
    if "single" in parts:
        yield events(pipeline, options, 1)


def reads(pipeline: Pipeline, options: argparse.Namespace) -> Table:
    """Read random devices of ours, then of the bare service, round by round."""
    ours: list[Sample] = []
    bare: list[Sample] = []
    flows: list[float] = []
    with bare_fastapi.running(pipeline.token, options.devices) as service:
        for number in range(options.rounds + 1):
            seconds = options.seconds if number else WARM_UP_SECONDS
            for port, samples in ((pipeline.port, ours), (service.port, bare)):
                # A client of its own each time: ours would be closed, idle for a round.
                before, began = Client(pipeline).applied(), time.perf_counter()
                with shares(pipeline, service.process) as used:
                    load = wrk.ask(
                        f"http://127.0.0.1:{port}{DEVICES_PATH}",
                        pipeline.token,
                        options.connections,
                        seconds,
                        options.devices,
                    )
                flow = (Client(pipeline).applied() - before) / (time.perf_counter() - began)
                if number:
                    flows.append(flow)
                    samples.append(sample(load, load.good(200), used))
    return Table(
        f"{options.devices:,} devices, {options.connections} connections, rounds of "
        f"{options.seconds:g} s",
        (
            *figures("point reads", "requests/s", ours),
            *figures("a bare FastAPI route", "requests/s", bare),
            Figure("readings counted meanwhile", "readings/s", tuple(flows)),
        ),
    )


def events(pipeline: Pipeline, options: argparse.Namespace, rows: int) -> Table:
    """Send bodies of so many rows. Raises: RuntimeError where the log has other than these."""
    log = Kafka(pipeline.bootstrap_servers)
    samples: list[Sample] = []
    for number in range(options.rounds + 1):
        before = sum(log.end_offsets(READINGS.name).values())
        # A round begins with nothing left to do for worker and view.
        Client(pipeline).wait_until_applied(before)
        with shares(pipeline) as used:
            load = wrk.ask(
                f"http://127.0.0.1:{pipeline.port}{EVENTS_PATH}",
                pipeline.token,
                options.connections,
                options.seconds if number else WARM_UP_SECONDS,
                options.devices,
                rows,
            )
        acknowledged = load.good(202) * rows
        grown = sum(log.end_offsets(READINGS.name).values()) - before
        if grown != acknowledged:
            raise RuntimeError(f"answered 202: {acknowledged:,} rows, in the log: {grown:,}")
        if number:
            samples.append(sample(load, acknowledged, used))
    name = f"bodies of {rows:,} rows" if rows > 1 else "single events"
    unit = "readings/s" if rows > 1 else "requests/s"
    return Table(
        f"{options.connections} connections, rounds of {options.seconds:g} s, every answer 202, "
        "each row in the log once",
        tuple(figures(name, unit, samples)),
    )


def sample(load: wrk.Load, count: int, used: dict[str, float]) -> Sample:
    """Make a round's sample; `count` is of what the rate is of."""
    cores = ", ".join(f"{name} {share / load.seconds:.2f}" for name, share in used.items())
    return Sample(count / load.seconds, load.p50_us / 1e3, load.p99_us / 1e3, f"CPU s/s: {cores}")


def figures(name: str, unit: str, samples: list[Sample]) -> Iterator[Figure]:
    """Yield rate and latencies; CPU time is of the last round."""
    yield Figure(name, unit, tuple(each.per_second for each in samples), samples[-1].meanwhile)
    yield Figure(f"{name}, p50", "ms", tuple(each.p50_ms for each in samples))
    yield Figure(f"{name}, p99", "ms", tuple(each.p99_ms for each in samples))


@contextmanager
def shares(
    pipeline: Pipeline, bare: subprocess.Popen[bytes] | None = None
) -> Iterator[dict[str, float]]:
    """Give what has, at the end, the CPU seconds of each process, and of strangers."""
    processes = {
        "API": psutil.Process(pipeline.api.pid),
        **{name: psutil.Process(pid) for name, pid in parts_of(pipeline.api.pid).items()},
        "worker": psutil.Process(pipeline.worker.pid),
        "broker": psutil.Process(pipeline.broker_pid),
    }
    if bare is not None:
        processes["bare"] = psutil.Process(bare.pid)
    before, used = cpu_seconds(processes) | strangers(), dict[str, float]()
    yield used
    after = cpu_seconds(processes) | strangers()
    used |= {name: after[name] - before[name] for name in after}


def strangers() -> dict[str, float]:
    """CPU seconds of all that has nothing to do with this: where they grow, figures mean little."""
    spent = psutil.cpu_times()
    me = psutil.Process()
    ours = [each.cpu_times() for each in (me, *me.children(recursive=True))]
    ours_seconds = sum(
        each.user + each.system + each.children_user + each.children_system for each in ours
    )
    return {"strangers": sum(spent) - spent.idle - spent.iowait - spent.guest - ours_seconds}


if __name__ == "__main__":
    try:
        main()
    except MissingPart as error:
        print(f"http_rates: {error}", file=sys.stderr)
        sys.exit(2)
