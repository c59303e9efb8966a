"""`energy topics`: make the topics and the first view version, or compare them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import typer

from cli.invocation import AS_JSON, console, environ_of, print_json

if TYPE_CHECKING:
    from kafka_io.cluster_changes import ClusterAdmin
    from operations.settings import TopicSettings
    from operations.topics.declared import Difference

app = typer.Typer(
    no_args_is_help=True,
    help="Create the topics, check them, or add partitions.",
    epilog="Example: energy topics create",
)


@app.command(epilog="Example: ENERGY_PARTITIONS=16 energy topics create")
def create(
    context: typer.Context,
    accept_partial: bool = typer.Option(
        False, "--accept-partial", help="Start although the oldest readings were already deleted."
    ),
    adopt: int | None = typer.Option(
        None, min=1, help="Make this existing view version live again; energy_views has lost it."
    ),
    as_json: bool = AS_JSON,
) -> None:
    """Create missing topics and the first view version; existing ones are not changed."""
    from operations.bootstrap import prepare

    cluster, settings = _connect(environ_of(context))
    done = prepare(cluster, settings, accept_partial=accept_partial, adopting=adopt)
    if as_json:
        print_json(
            {
                "created": done.created,
                "view_version": done.view_version,
                "differences": _as_json(done.differences),
            }
        )
    else:
        typer.echo(f"made: {', '.join(done.created) or 'nothing, all topics existed'}")
        if done.view_version is not None:
            born = "born now" if done.is_born_now else "was live before"
            typer.echo(f"view version {done.view_version} is live ({born})")
        print_differences(done.differences)
    _end(done.differences)


@app.command(epilog="Example: energy topics grow 16")
def grow(
    context: typer.Context,
    partitions: int = typer.Argument(min=1, max=1000, help="Number of partitions to have."),
    as_json: bool = AS_JSON,
) -> None:
    """Add partitions to the readings topic while everything runs, or adopt added ones."""
    from operations.topics.more_partitions import grow as grow_topics

    cluster, settings = _connect(environ_of(context))
    cluster.brokers()
    done = grow_topics(cluster, partitions)
    if as_json:
        print_json(done._asdict())
        return
    grown = ", ".join(done.topics) or "nothing, all had them"
    typer.echo(f"given {partitions} partitions: {grown}")
    for version in done.view_versions:
        typer.echo(f"view version {version} counts the added partitions from their first reading")
    if settings.partitions != partitions:
        typer.echo(f"set ENERGY_PARTITIONS={partitions} from now on")


@app.command(epilog="Example: energy topics check --json")
def check(context: typer.Context, as_json: bool = AS_JSON) -> None:
    """Compare partitions and configs with the declared ones; exit 1 and a table if they differ.

    Exit 0 where they differ only in what makes them quick or small: `checked` in the table.
    """
    from operations.topics.declared import check as find_differences

    differences = find_differences(*_connect(environ_of(context)))
    if as_json:
        print_json(_as_json(differences))
    elif not differences:
        typer.echo("all topics are as declared")
    else:
        print_differences(differences)
    _end(differences)


def _as_json(differences: list[Difference]) -> list[dict[str, str | None]]:
    return [{**each._asdict(), "need": each.need.value} for each in differences]


def _end(differences: list[Difference]) -> None:
    from contract.topic_configs import Need

    if any(each.need is not Need.CHECKED for each in differences):
        raise typer.Exit(1)


def print_differences(differences: list[Difference]) -> None:
    """Print a table of what is not as declared; nothing if all is."""
    if not differences:
        return
    from rich.table import Table

    table = Table(title="not as declared (nothing was changed)")
    for title in ("topic", "what", "declared", "found", "need"):
        table.add_column(title)
    for difference in differences:
        table.add_row(*difference[:3], difference.found or "missing", difference.need)
    console().print(table)


def _connect(environ: Mapping[str, str]) -> tuple[ClusterAdmin, TopicSettings]:
    from kafka_io.cluster_changes import ClusterAdmin
    from operations.settings import TopicSettings

    settings = TopicSettings.load(environ)
    return ClusterAdmin(settings), settings
