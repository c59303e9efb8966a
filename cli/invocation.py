"""What a command knows of the call it serves: the environment, and how to print.

Reads: nothing by itself; the entry point hands in the real environment, a test its own.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from kafka_io.cluster_changes import ClusterAdmin
    from producer.settings import ProducerSettings

#: The option of commands whose output a program would read.
AS_JSON = typer.Option(False, "--json", help="Print one JSON document instead.")


@dataclass(frozen=True)
class Invocation:
    """One call of `energy`."""

    environ: Mapping[str, str] = field(default_factory=dict)
    debug: bool = False


def environ_of(context: typer.Context) -> Mapping[str, str]:
    """Return the environment the call came with."""
    return _of(context).environ


def is_debug(context: typer.Context) -> bool:
    """Return whether the call asks where errors come from."""
    return _of(context).debug


def _of(context: typer.Context) -> Invocation:
    assert isinstance(context.obj, Invocation)
    return context.obj


def producer_settings(context: typer.Context) -> ProducerSettings:
    """Load what readings are published with; what its client says is shown now and then."""
    from cli.sparse_log import show_sparsely
    from producer.settings import ProducerSettings

    if not is_debug(context):
        show_sparsely()
    return ProducerSettings.load(environ_of(context))


def connect(context: typer.Context) -> tuple[ClusterAdmin, Path]:
    """Return the cluster, which answers, and ENERGY_HOME."""
    from kafka_io.cluster_changes import ClusterAdmin
    from local_stack.home import open_home
    from operations.settings import BrokerSettings, TopicSettings

    cluster = ClusterAdmin(TopicSettings.load(environ_of(context)))
    home = open_home(BrokerSettings.load(environ_of(context)).home)
    cluster.brokers()
    return cluster, home


def console() -> Console:
    """Return where tables go: standard output, as wide as its terminal."""
    from rich.console import Console

    # Not a terminal: wide enough that no name of a topic is cut.
    return Console() if sys.stdout.isatty() else Console(width=140)


def print_json(value: Any) -> None:
    """Print one JSON document on one line."""
    typer.echo(json.dumps(value))
