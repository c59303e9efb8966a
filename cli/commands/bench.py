"""`energy bench`: the benchmark of docs/BENCHMARKS.md, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import typer

from cli.invocation import AS_JSON, environ_of
from local_stack.errors import MissingPart

ROOT = Path(__file__).parents[2]


def bench(
    context: typer.Context,
    rounds: int = typer.Option(3, min=1, help="Rounds; in each, all are run in turn."),
    readings: int = typer.Option(3_000_000, min=1, help="Readings to catch up on."),
    devices: list[int] | None = typer.Option(
        None, min=1, help="Number of devices. Default: 1,000 and 100,000."
    ),
    against: list[str] | None = typer.Option(
        None,
        help="kafka-streams-eos, kafka-streams-alo, confluent-loop, quix, faust, with-series (ours"
        " with places and time) or none, repeated; default: all.",
    ),
    codec: str = typer.Option(
        "none", help="Compression of the readings topic: none, gzip, snappy, lz4 or zstd."
    ),
    bad: float = typer.Option(
        0.0, min=0, max=0.9, help="Share of invalid records; measures ours only."
    ),
    every: float = typer.Option(
        0.0,
        min=0,
        help="Seconds between a device's readings, sent in order of time. 0: random times.",
    ),
    workers: int = typer.Option(1, min=1, help="Number of our workers that share the partitions."),
    no_keys: bool = typer.Option(False, "--no-keys", help="Publish readings without a key."),
    stages: bool = typer.Option(
        False,
        "--stages",
        help="Show the cost per reading of each stage of the hot path, without a broker.",
    ),
    as_json: bool = AS_JSON,
) -> None:
    """Measure this program and its peers on a broker of their own: rates, spread, ratios."""
    if not (ROOT / "tests" / "benchmarks").is_dir():
        raise MissingPart("the benchmark is not installed: run it in a clone of the repository")
    command = [sys.executable, "-m", "tests.benchmarks", f"--rounds={rounds}"]
    command += [f"--readings={readings}"] + ["--json"] * as_json + ["--stages"] * stages
    command += [f"--codec={codec}", f"--bad={bad}", f"--every={every}", f"--workers={workers}"] + [
        "--no-keys"
    ] * no_keys
    command += [f"--devices={number}" for number in devices or ()]
    command += [f"--against={name}" for name in against or ()]
    done = subprocess.run(command, cwd=ROOT, env=dict(environ_of(context)), check=False)
    raise typer.Exit(done.returncode)
