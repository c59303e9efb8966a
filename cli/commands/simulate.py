"""`energy simulate`: a seeded fleet that publishes to Kafka, with an oracle if wanted."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import typer

from cli.invocation import AS_JSON, print_json, producer_settings
from contract.exit_codes import DONE, FAILED, RESTART_ME


def simulate(
    context: typer.Context,
    devices: int = typer.Option(1000, help="Number of devices."),
    readings: int | None = typer.Option(None, help="Number of readings. Default: until stopped."),
    rate: float | None = typer.Option(
        None, help="Readings per second. Default: as fast as possible."
    ),
    seed: int = typer.Option(1, help="The same seed gives the same readings."),
    bad: float = typer.Option(0.0, help="Share of invalid records; 0.01 is 1 %."),
    key: Literal["murmur2", "crc32", "none"] | None = typer.Option(
        None, help="Partitioning: murmur2 (Java clients), crc32 (librdkafka) or none (no key)."
    ),
    begin: str | None = typer.Option(
        None,
        "--from",
        help="A home's readings from this time on, in order of time: 2025-01-01, a date and time"
        " in UTC, or -7d. They end now; with --rate they go on at that rate.",
    ),
    every: float = typer.Option(900.0, help="With --from: seconds between a device's readings."),
    oracle: Path | None = typer.Option(
        None, help='Write {"device": "exact total"} of what Kafka acknowledged to this file.'
    ),
    quarters: Path | None = typer.Option(
        None,
        help="Write the exact sum of each device, location and quarter of an hour to this file.",
    ),
    as_json: bool = AS_JSON,
) -> None:
    """Publish readings of a simulated fleet; prints what Kafka acknowledged."""
    from dataclasses import asdict
    from datetime import UTC, datetime

    from local_stack.signals import Stop
    from operations.progress import progress
    from producer.fleet.beginning import beginning
    from producer.fleet.simulate import SimulateOptions, run

    settings = producer_settings(context)
    options = SimulateOptions(
        settings,
        devices,
        readings,
        rate,
        seed,
        bad,
        key or settings.partitioner,
        oracle,
        start=None if begin is None else beginning(begin, datetime.now(UTC)),
        every=every,
        quarters=quarters,
    )
    has_end = readings is not None or (begin is not None and rate is None)
    at_sigterm = RESTART_ME if has_end else DONE
    with Stop(at_sigterm) as stop, progress("readings") as on_progress:
        summary = run(options, on_progress, should_stop=stop.is_set)
    if as_json:
        print_json(asdict(summary))
    else:
        typer.echo(
            f"{summary.acknowledged:,} records acknowledged in {summary.seconds:.1f} s"
            f" ({summary.bad_sent:,} of them deliberately invalid), {summary.refused:,} refused,"
            f" {summary.unknown:,} unknown"
        )
    if stop.is_set() and summary.acknowledged - summary.bad_sent != readings:
        raise typer.Exit(stop.exit_code)
    if summary.refused or summary.unknown:
        raise typer.Exit(FAILED)
