"""`energy backfill`: copy the readings of another topic into the readings topic, exactly once."""

from __future__ import annotations

import typer

from cli.invocation import AS_JSON, environ_of, is_debug, print_json
from contract.exit_codes import RESTART_ME


def backfill(
    context: typer.Context,
    topic: str = typer.Argument(help="The topic to copy; its values are readings."),
    begin_at: str | None = typer.Option(
        None, "--from", metavar="earliest|TIMESTAMP|OFFSETS", help="Where to begin; earliest."
    ),
    end_at: str | None = typer.Option(
        None, "--to", metavar="latest|TIMESTAMP|OFFSETS", help="Where to end, not included; latest."
    ),
    bootstrap_servers: str | None = typer.Option(
        None, help="The topic's cluster; the one of the readings topic. Same login for both."
    ),
    import_id: str | None = typer.Option(
        None, "--id", help="The same id never copies an offset twice; one for each topic."
    ),
    max_rate: int | None = typer.Option(
        None, min=1, help="Readings per second at most, so that live traffic is not starved."
    ),
    as_json: bool = AS_JSON,
) -> None:
    """Copy readings of another topic, exactly once; broken off, it goes on where it was."""
    from dataclasses import asdict

    from cli.sparse_log import show_sparsely
    from contract.errors import SettingError
    from kafka_io.cluster import Cluster
    from local_stack.signals import Stop
    from operations.backfill.copy import BackfillOptions
    from operations.backfill.copy import backfill as copy
    from operations.progress import progress
    from producer.settings import ProducerSettings

    if import_id is not None and (not import_id or "/" in import_id):
        raise SettingError("--id", "must be a name without /", value=import_id)
    settings = ProducerSettings.load(environ_of(context))
    # Checked as the setting of the other cluster is.
    source = ProducerSettings.load(environ_of(context), bootstrap_servers=bootstrap_servers)
    if not is_debug(context):
        show_sparsely("producer")
    options = BackfillOptions(topic, begin_at, end_at, import_id, max_rate)
    with Stop(RESTART_ME) as stop, progress("offsets") as on_progress:
        done = copy(options, settings, Cluster(source), on_progress, should_stop=stop.is_set)
    if as_json:
        print_json(asdict(done))
    else:
        earlier = f", {done.before:,} by earlier runs" if done.before else ""
        typer.echo(
            f"{done.readings:,} readings copied and {done.quarantined:,} records quarantined in"
            f" {done.seconds:.1f} s{earlier}; id {done.import_id}"
        )
    if not done.complete:
        typer.echo("broken off; the same command continues where it was", err=True)
        raise typer.Exit(stop.exit_code)
