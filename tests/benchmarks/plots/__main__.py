"""Measures what the plots of docs/BENCHMARKS.md show, and draws them; some twenty minutes.

`python -m tests.benchmarks.plots`                    measures all, writes docs/plots/
`python -m tests.benchmarks.plots --only latency`     measures some anew, keeps the others
`python -m tests.benchmarks.plots --only none`        only draws
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from local_stack.errors import MissingPart
from tests.benchmarks import catch_up, freshness, machine
from tests.benchmarks.builds import built_python
from tests.benchmarks.contenders import OURS, STREAMS_EOS
from tests.benchmarks.dataset import Shape
from tests.benchmarks.running import running_pipeline
from tests.benchmarks.stand import standing

HERE = Path(__file__).parent
DIRECTORY = HERE.parents[2] / "docs" / "plots"
DEVICES = (100, 1_000, 10_000, 100_000, 1_000_000)
WORKERS = (1, 2, 4)
RATES = (100, 1_000, 5_000, 20_000)
ROUNDS = 3
READINGS = 3_000_000
#: More than one worker first share the partitions out, for some seconds.
READINGS_OF_WORKERS = 12_000_000
LATENCY_SECONDS = 20.0
SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}

Plot = dict[str, Any]


def devices() -> Plot:
    """Measure the catch-up of more and more devices."""
    points: dict[str, list[Any]] = {OURS.name: [], STREAMS_EOS.name: []}
    for number in DEVICES:
        with standing() as stand:
            wanted = catch_up.CatchUp(Shape(READINGS, number), ROUNDS, [OURS, STREAMS_EOS])
            for each in catch_up.run(stand, wanted).figures:
                if each.name in points:
                    costs = [1e6 / sample for sample in each.samples]
                    points[each.name].append(point(number, costs))
    return plot("devices", "microseconds a reading, one worker", points, is_logarithmic=True)


def workers() -> Plot:
    """Measure the catch-up of more and more workers."""
    points: dict[str, list[Any]] = {OURS.name: []}
    for number in WORKERS:
        # A stand for each: a second run on one would publish behind the first one's readings.
        with standing() as stand:
            wanted = catch_up.CatchUp(Shape(READINGS_OF_WORKERS, 1_000), ROUNDS, [OURS], number)
            rates = catch_up.run(stand, wanted).figures[0].samples
            points[OURS.name].append(point(number, rates))
    return plot("workers on two cores", "readings a second", points)


def latency() -> Plot:
    """Measure from a send until a reading is visible over HTTP, under more and more load."""
    samples: dict[tuple[int, str], list[float]] = {}
    for rate in RATES:
        for _ in range(ROUNDS):
            with (
                tempfile.TemporaryDirectory() as directory,
                running_pipeline(Path(directory)) as pipeline,
            ):
                found = freshness.measure(pipeline, rate, LATENCY_SECONDS, 1_000)
            print(found.as_text(), file=sys.stderr, flush=True)
            for name, share in SHARES.items():
                samples.setdefault((rate, name), []).append(found.ms(share))
    points = {name: [point(rate, samples[rate, name]) for rate in RATES] for name in SHARES}
    return plot("readings a second", "ms until visible over HTTP", points, is_logarithmic=True)


PLOTS: dict[str, Callable[[], Plot]] = {"devices": devices, "workers": workers, "latency": latency}


def point(at: int, samples: Sequence[float]) -> dict[str, float]:
    """Make a point of what some rounds gave."""
    middle = sorted(samples)[len(samples) // 2]
    return {"at": at, "median": middle, "min": min(samples), "max": max(samples)}


def plot(x: str, y: str, points: dict[str, list[Any]], *, is_logarithmic: bool = False) -> Plot:
    """Make a plot of series of points."""
    series = [{"name": name, "points": some} for name, some in points.items()]
    return {"x": x, "y": y, "is_logarithmic": is_logarithmic, "series": series}


def wanted(only: str | None) -> Iterator[str]:
    """Yield the names of the plots to measure. Raises: SystemExit."""
    for name in only.split(",") if only else PLOTS:
        if name not in (*PLOTS, "none"):
            sys.exit(f"no plot {name!r}: devices, workers, latency or none")
        if name in PLOTS:
            yield name


def main() -> None:
    """Measure, keep the figures, and draw."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--only", help="of devices, workers, latency; none")
    names = list(wanted(arguments.parse_args().only))
    path = DIRECTORY / "figures.json"
    figures = json.loads(path.read_text()) if path.exists() else {"plots": {}}
    for name in names:
        figures["plots"][name] = PLOTS[name]() | {"machine": machine.described()}
        DIRECTORY.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(figures, indent=1) + "\n")
    python = built_python("plots", HERE / "plots.lock")
    subprocess.run([str(python), str(HERE / "draw.py"), str(DIRECTORY)], check=True)
    print("\n".join(sorted(str(each) for each in DIRECTORY.glob("*.svg"))))


if __name__ == "__main__":
    try:
        main()
    except MissingPart as error:
        sys.exit(f"plots: {error}")
