"""How fast a whole topic is caught up with: ours and the peers, in turn, round by round.

Full validation, exact totals and exactly-once are on in ours. What the peers do less, and how
they are configured, stands on top of each file in peers/.
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
    """What to run."""

    shape: Shape
    rounds: int
    contenders: Sequence[Contender]


def run(stand: Stand, options: CatchUp) -> Table:
    """Publish the data, run the rounds; returns the table of rates, ours first."""
    shape = options.shape
    dataset = stand.dataset(shape)
    rounds: dict[str, list[Round]] = {contender.name: [] for contender in options.contenders}
    references = []
    for number in range(options.rounds):
        references.append(reference_rate())
        for contender in options.contenders:
            done = run_round(stand, contender, dataset)
            rounds[contender.name].append(done)
            print(
                f"  round {number + 1}: {contender.name} {done.readings_per_second:,.0f}/s",
                file=sys.stderr,
                flush=True,
            )
    figures = [
        _figure(contender, rounds[contender.name], dataset) for contender in options.contenders
    ]
    figures.append(
        Figure("reference loop", "readings/s", tuple(references), "decode + fold, no Kafka")
    )
    return Table(
        f"Catch-up: {shape.readings:,} readings, {shape.devices:,} devices, "
        f"{stand.settings.partitions} partitions"
        + (f", {shape.codec}" if shape.codec != "none" else "")
        + (f", {shape.bad:.0%} bad" if shape.bad else "")
        + ("" if shape.keyed else ", no keys"),
        tuple(figures),
    )


def _figure(contender: Contender, rounds: Sequence[Round], dataset: Dataset) -> Figure:
    cpu = sum(r.cpu_seconds for r in rounds) / sum(
        dataset.shape.readings / r.readings_per_second for r in rounds
    )
    note = (
        f"{cpu:.1f} cores, {max(r.largest_rss_mib for r in rounds):,} MiB, "
        f"{rounds[-1].output_records:,} output records"
    )
    return Figure(contender.name, "readings/s", tuple(r.readings_per_second for r in rounds), note)
