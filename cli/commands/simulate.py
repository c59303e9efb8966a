"""`energy simulate`: a seeded fleet that publishes to Kafka, with an oracle if wanted."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import typer

from cli.invocation import AS_JSON, environ_of, is_debug, print_json
from contract.exit_codes import DONE, FAILED, RESTART_ME


class Key(StrEnum):
    """How a device's partition is chosen."""

    MURMUR2 = "murmur2"
    CRC32 = "crc32"
    NONE = "none"


def simulate(
    context: typer.Context,
    devices: int = typer.Option(1000, help="How many devices there are."),
    readings: int | None = typer.Option(None, help="Not given: until it is stopped."),
    rate: float | None = typer.Option(
        None, help="Readings per second. Not given: as fast as they are taken."
    ),
    seed: int = typer.Option(1, help="The same seed gives the same readings."),
    bad: float = typer.Option(0.0, help="Share of records that must be quarantined, 0.01: 1 %."),
    key: Key | None = typer.Option(
        None, help="murmur2: as Java clients; crc32: as librdkafka; none: no key."
    ),
    oracle: Path | None = typer.Option(
        None, help='File for {"device": "exact total"} of what Kafka acknowledged.'
    ),
    as_json: bool = AS_JSON,
) -> None:
    """Publish a simulated fleet; ends with what Kafka acknowledged."""
    from dataclasses import asdict

    from cli.sparse_log import show_sparsely
    from local_stack.signals import Stop
    from operations.progress import progress
    from producer.fleet.simulate import SimulateOptions, run
    from producer.settings import ProducerSettings

    settings = ProducerSettings.load(environ_of(context))
    partitioner = settings.partitioner if key is None else key.value
    options = SimulateOptions(settings, devices, readings, rate, seed, bad, partitioner, oracle)
    if not is_debug(context):
        show_sparsely("producer")
    at_sigterm = DONE if readings is None else RESTART_ME
    with Stop(at_sigterm) as stop, progress("readings") as on_progress:
        summary = run(options, on_progress, should_stop=stop.is_set)
    if as_json:
        print_json(asdict(summary))
    else:
        typer.echo(
            f"{summary.acknowledged:,} records acknowledged in {summary.seconds:.1f} s"
            f" ({summary.bad_sent:,} of them bad on purpose), {summary.refused:,} refused,"
            f" {summary.unknown:,} unknown"
        )
    if stop.is_set() and summary.acknowledged - summary.bad_sent != readings:
        raise typer.Exit(stop.exit_code)
    if summary.refused or summary.unknown:
        raise typer.Exit(FAILED)
