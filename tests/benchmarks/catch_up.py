"""How fast a whole topic is caught up with: ours and the peers, in turn, round by round.

Full validation, exact totals and exactly-once are on in ours. What the peers do less, and how
they are configured, stands on top of each file in peers/. A rate is per reading: a slow peer is
given the first readings alone, on a topic of their own, and its row says how many.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NamedTuple

from tests.benchmarks.contenders import Contender
from tests.benchmarks.dataset import Dataset, Shape
from tests.benchmarks.figures import Figure, Table
from tests.benchmarks.machine import reference_rate
from tests.benchmarks.rounds import Round, run_round
from tests.benchmarks.stand import Stand


class CatchUp(NamedTuple):
    """What to run; ours with so many workers, each peer with one."""

    shape: Shape
    rounds: int
    contenders: Sequence[Contender]
    workers: int = 1


def run(stand: Stand, options: CatchUp) -> Table:
    """Publish the data, run the rounds; returns the table of rates, ours first."""
    shape = options.shape
    datasets = _datasets(stand, options)
    rounds: dict[str, list[Round]] = {contender.name: [] for contender in options.contenders}
    references = []
    for number in range(options.rounds):
        references.append(reference_rate())
        for contender in options.contenders:
            workers = options.workers if contender.series is not None else 1
            dataset = datasets[contender.given(shape.readings)]
            done = run_round(stand, contender, dataset, workers)
            rounds[contender.name].append(done)
            print(
                f"  round {number + 1}: {contender.name} {done.readings_per_second:,.0f}/s",
                file=sys.stderr,
                flush=True,
            )
    figures = [
        figure(contender, rounds[contender.name], contender.given(shape.readings))
        for contender in options.contenders
    ]
    figures.append(
        Figure("reference loop", "readings/s", tuple(references), "decode + fold, no Kafka")
    )
    return Table(
        f"Catch-up: {shape.readings:,} readings, {shape.devices:,} devices, "
        f"{stand.settings.partitions} partitions"
        + (f", {shape.codec}" if shape.codec != "none" else "")
        + (f", {shape.bad:.0%} bad" if shape.bad else "")
        + ("" if shape.keyed else ", no keys")
        + (f", in order of time, a device each {shape.every:g} s" if shape.every else "")
        + (f", {options.workers} workers of ours" if options.workers > 1 else ""),
        tuple(figures),
    )


def _datasets(stand: Stand, options: CatchUp) -> dict[int, Dataset]:
    """Publish all readings to our topic, and the first ones to others for the slow contenders."""
    whole = options.shape
    numbers = {contender.given(whole.readings) for contender in options.contenders}
    datasets = {whole.readings: stand.dataset(whole)}
    for number in numbers - set(datasets):
        datasets[number] = stand.dataset(whole._replace(readings=number), f"first-{number}")
    return datasets


def figure(contender: Contender, rounds: Sequence[Round], readings: int) -> Figure:
    """Make a row of the table of what a contender did with so many readings."""
    cpu = sum(r.cpu_seconds for r in rounds) / sum(readings / r.readings_per_second for r in rounds)
    note = (
        f"{readings:,} readings, {cpu:.1f} cores, "
        f"{max(r.largest_rss_mib for r in rounds):,} MiB, "
        f"{rounds[-1].output_records:,} output records"
    )
    return Figure(contender.name, "readings/s", tuple(r.readings_per_second for r in rounds), note)
