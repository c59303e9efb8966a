"""`energy backfill`: copy the readings of another topic into the readings topic, exactly once."""

from __future__ import annotations

import typer

from cli.invocation import AS_JSON, environ_of, print_json, producer_settings
from contract.exit_codes import RESTART_ME


def backfill(
    context: typer.Context,
    topic: str = typer.Argument(help="The topic to copy; its values must be readings."),
    begin_at: str | None = typer.Option(
        None,
        "--from",
        metavar="earliest|TIMESTAMP|OFFSETS",
        help="Where to start. Default: earliest.",
    ),
    end_at: str | None = typer.Option(
        None,
        "--to",
        metavar="latest|TIMESTAMP|OFFSETS",
        help="Where to end (exclusive). Default: latest.",
    ),
    bootstrap_servers: str | None = typer.Option(
        None,
        help="Cluster of the topic, same login. Default: the cluster of the readings topic.",
    ),
    import_id: str | None = typer.Option(
        None, "--id", help="An id never copies an offset twice. Default: one per topic."
    ),
    max_rate: int | None = typer.Option(
        None, min=1, help="Limit in readings per second, to leave room for live traffic."
    ),
    as_json: bool = AS_JSON,
) -> None:
    """Copy readings from another topic, exactly once; if interrupted, run it again to resume."""
    from dataclasses import asdict

    from contract.errors import SettingError
    from kafka_io.cluster import Cluster
    from local_stack.signals import Stop
    from operations.backfill.copy import BackfillOptions
    from operations.backfill.copy import backfill as copy
    from operations.progress import progress
    from producer.settings import ProducerSettings

    if import_id is not None and (not import_id or "/" in import_id):
        raise SettingError("--id", "must be a name without /", value=import_id)
    settings = producer_settings(context)
    # Checked as the setting of the other cluster is.
    source = ProducerSettings.load(environ_of(context), bootstrap_servers=bootstrap_servers)
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
        typer.echo("interrupted; run the same command again to continue", err=True)
        raise typer.Exit(stop.exit_code)
