"""`energy sizing`: what an installation will take, from figures that were measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from cli.invocation import AS_JSON, print_json

if TYPE_CHECKING:
    from operations.sizing.estimate import Estimate

_UNITS = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"))


def sizing(
    devices: int = typer.Option(..., min=1, max=1_000_000_000, help="Number of devices."),
    rate: float = typer.Option(..., min=0.001, max=1e9, help="Readings per second, all devices."),
    retention_days: float = typer.Option(
        ...,
        min=0.001,
        max=1e6,
        help="Days that readings are kept; if forever, days to plan for.",
    ),
    series_days: float | None = typer.Option(
        None,
        min=0,
        max=1e6,
        help="Days that quarters are kept. [default: as the readings]",
    ),
    series: str = typer.Option("on", help="on or off: with or without sums by place and time."),
    replication: int = typer.Option(3, min=1, max=10, help="Copies that Kafka keeps."),
    as_json: bool = AS_JSON,
) -> None:
    """Estimate disk, memory and cores; docs/SIZING.md explains the figures."""
    import msgspec

    from operations.sizing.estimate import Workload, estimate

    if series not in ("on", "off"):
        raise typer.BadParameter("must be on or off", param_hint="--series")
    kept = retention_days if series_days is None else series_days
    workload = Workload(devices, rate, retention_days, kept if series == "on" else 0.0)
    found = estimate(workload)
    if as_json:
        print_json(msgspec.to_builtins(found) | {"kafka_disk": found.kafka_disk() * replication})
    else:
        typer.echo("\n".join(lines(found, replication)))


def lines(found: Estimate, replication: int) -> list[str]:
    """Say it for a person."""
    logs = (
        ("readings", found.readings_log),
        ("changelog of the totals", found.totals_changelog),
        ("changelog of the series", found.series_changelog),
        ("changelogs, not compacted yet", found.changelog_heads),
    )
    return [
        f"Kafka's disk, {replication} copies: {size(found.kafka_disk() * replication)}",
        *(f"  {name}: {size(value)} each" for name, value in logs),
        f"worker's store, all partitions: {size(found.worker_store)}",
        f"reader's copy, for each API process: {size(found.reader_copy)}",
        f"memory: worker {size(found.worker_memory)}, API process {size(found.api_memory)}",
        f"busy cores: workers {found.worker_cores:g}, API {found.api_cores:g} without"
        f" requests, brokers {found.broker_cores:g}",
        "Provide twice that: docs/SIZING.md says why.",
    ]


def size(value: float) -> str:
    """Write bytes for a person, in powers of ten."""
    for unit, name in _UNITS:
        if value >= unit:
            return f"{value / unit:,.1f} {name}"
    return f"{value / 1e6:,.1f} MB"
