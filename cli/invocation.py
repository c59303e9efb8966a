"""What a command knows of the call it serves: the environment, and how to print.

Reads: nothing by itself; the entry point hands in the real environment, a test its own.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

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


def console() -> Console:
    """Return where tables go: standard output, as wide as its terminal."""
    from rich.console import Console

    # Not a terminal: wide enough that no name of a topic is cut.
    return Console() if sys.stdout.isatty() else Console(width=140)


def print_json(value: Any) -> None:
    """Print one JSON document on one line."""
    typer.echo(json.dumps(value))
