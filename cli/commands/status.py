"""`energy status`: how far the live view has come, who works on it, what is wrong."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import typer

from cli.invocation import AS_JSON, console, environ_of, print_json

if TYPE_CHECKING:
    from operations.status import Status


def status(context: typer.Context, as_json: bool = AS_JSON) -> None:
    """Show the progress of the live view, its workers, and any problems."""
    import msgspec

    from kafka_io.cluster import Cluster
    from operations.settings import TopicSettings
    from operations.status import read_status

    settings = TopicSettings.load(environ_of(context))
    found = read_status(Cluster(settings), settings, time.time_ns() // 1_000_000)
    if as_json:
        print_json(msgspec.to_builtins(found))
    else:
        show(found)


def show(found: Status) -> None:
    """Print the status for a person."""
    from rich.table import Table

    if found.view_version is not None:
        age = found.freshness_seconds
        newest = "no reading counted yet" if age is None else f"newest reading {age:.1f} s ago"
        lag = sum(partition.lag_records for partition in found.partitions)
        typer.echo(f"view version {found.view_version}: {newest}, {lag} records behind")
        table = Table()
        table.add_column("partition", justify="right")
        for title in ("end offset", "applied offset", "lag records"):
            table.add_column(title, justify="right")
        table.add_column("owner")
        for p in found.partitions:
            numbers = (p.partition, p.end_offset, p.applied_offset, p.lag_records)
            table.add_row(*map(str, numbers), p.owner or "nobody")
        console().print(table)
    for view in found.views[1:]:
        offsets = ",".join(f"{p.partition}:{p.applied_offset}" for p in view.partitions)
        behind = sum(p.behind_totals for p in view.partitions)
        typer.echo(
            f"{view.view} ({view.topic}): applied up to partition:offset {offsets},"
            f" {behind} records behind the totals"
        )
        if cutoff := max((p.cutoff for p in view.partitions if p.cutoff), default=None):
            typer.echo(f"{view.view}: quarters are kept since {cutoff}, older ones in one sum")
    for problem in found.problems:
        typer.echo(f"problem: {problem}")
