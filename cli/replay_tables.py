"""What `energy replay status` prints: positions, and what two view versions differ in."""

from __future__ import annotations

import typer
from rich.table import Table

from cli.invocation import console
from local_stack.replay_progress import line
from operations.replay.comparison import Differences
from operations.replay.positions import ReplayStatus


def show_positions(replay: ReplayStatus) -> None:
    """Print where each partition of the next version is, and how far it has to go."""
    typer.echo(line(replay.version, replay.partitions, replay.rate))
    table = Table()
    for title in ("partition", "from", "at", "target", "done"):
        table.add_column(title, justify="right")
    for p in replay.partitions:
        row = (p.partition, p.from_, p.at, p.target)
        table.add_row(*map(str, row), f"{100 * p.share:.1f} %")
    console().print(table)


def show_differences(found: Differences, live: int, following: int) -> None:
    """Print what changes from one view version to the next, the first rows in full."""
    if found.not_compared:
        places = ", ".join(map(str, found.not_compared))
        typer.echo(
            f"{found.view} not compared, the two were at no common offset: partitions {places}"
        )
    typer.echo(
        f"{found.view} from version {live} to {following}, where compared: {found.rows:,} rows of"
        f" {found.devices:,} devices change, the sum by {found.sum}, readings by"
        f" {found.readings:,}"
    )
    if found.examples:
        table = Table(title=f"the first {len(found.examples)}")
        for column in found.examples[0].row:
            table.add_column(column)
        table.add_column(f"version {live}", justify="right")
        table.add_column(f"version {following}", justify="right")
        for each in found.examples:
            sides = (each.live or "unknown", each.following or "unknown")
            table.add_row(*each.row.values(), *sides)
        console().print(table)
