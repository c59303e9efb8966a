"""The `energy` command: wires the groups of commands and decides the exit code.

Exit codes: contract/exit_codes.py. Guarantees: an error is one line on standard error; a traceback
is shown only with --debug.
"""

from __future__ import annotations

import gc
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from typing import NoReturn

import typer

from cli.commands import (
    backfill,
    bench,
    check,
    foreground,
    load,
    quarantine,
    replay,
    simulate,
    sizing,
    status,
    token,
    topics,
)
from cli.error_line import one_line
from cli.invocation import Invocation
from contract import exit_codes
from contract.exit_codes import DONE, INTERRUPTED, RESTART_ME
from contract.prefix import use_prefix
from local_stack.signals import end_at_sigterm

#: Looked through for garbage by so many, and not by Python's 700.
OBJECTS_OF_IMPORTS = 50_000
#: Commands that are never unfinished: SIGTERM is how they end.
_UNTIL_STOPPED = ("up", "broker", "worker", "api")

app = typer.Typer(
    name="energy",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Exact energy totals per device, from Kafka.",
    epilog="Example: energy up --demo",
)
app.command(epilog="Example: energy up --demo --workers 2")(foreground.up)
app.command(epilog="Example: ENERGY_BROKER_PORT=19092 energy broker")(foreground.broker)
app.command(epilog="Example: STREAM_APP_DATADIR=/var/lib/energy/worker-0 energy worker")(
    foreground.worker
)
app.command(epilog="Example: API_HOST=0.0.0.0 API_PORT=8000 energy api")(foreground.api)
app.command(epilog="Example: energy simulate --readings 100000 --oracle totals.json")(
    simulate.simulate
)
app.command(epilog="Example: energy load readings.ndjson.gz --resume")(load.load)
app.add_typer(topics.app, name="topics")
app.command(epilog="Example: energy backfill meter_archive --bootstrap-servers old:9092")(
    backfill.backfill
)
app.add_typer(replay.app, name="replay")
app.add_typer(quarantine.app, name="quarantine")
app.add_typer(token.app, name="token")
app.command(epilog="Example: energy check --json")(check.check)
app.command(epilog="Example: energy status --json")(status.status)
app.command(epilog="Example: energy sizing --devices 10000 --rate 1000 --retention-days 365")(
    sizing.sizing
)
app.command(epilog="Example: energy bench --devices 1000 --against none")(bench.bench)


def _show_version(wanted: bool) -> None:
    if wanted:
        from contract.build import labels

        said = labels()
        typer.echo(f"energy {said['version']}, rules {said['rules_id']}, commit {said['commit']}")
        raise typer.Exit


@app.callback()
def options(
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
    version: bool = typer.Option(
        False,
        "--version",
        callback=_show_version,
        is_eager=True,
        help="Show the version and commit.",
    ),
) -> None:
    """Take the options that stand before the command."""


def run(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run one command; returns its exit code."""
    # Wherever it stands, also after the command.
    debug = "--debug" in arguments
    rest = [argument for argument in arguments if argument != "--debug"]
    try:
        use_prefix(environ)
        app(rest, prog_name="energy", obj=Invocation(environ, debug))
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        if debug:
            traceback.print_exc()
        print(f"energy: {one_line(error)}", file=sys.stderr)
        return exit_codes.of(error)
    return 0


def _keep_docstrings(environ: Mapping[str, str]) -> None:
    """Start again with docstrings where PYTHONOPTIMIZE drops them: they are help and messages."""
    if sys.flags.optimize > 1 and environ.get("PYTHONOPTIMIZE", "1") != "1":
        os.execve(sys.executable, sys.orig_argv, {**environ, "PYTHONOPTIMIZE": "1"})


def main() -> NoReturn:
    """Run the command line this process was started with."""
    # Imports make objects by the hundred thousand and no garbage: a sixth of a start's time.
    gc.set_threshold(OBJECTS_OF_IMPORTS)
    _keep_docstrings(os.environ)
    arguments = sys.argv[1:]
    # Commands that run for long listen for themselves, but only once their imports are done.
    command = next((word for word in arguments if not word.startswith("-")), None)
    end_at_sigterm(DONE if command in _UNTIL_STOPPED else RESTART_ME)
    sys.exit(run(arguments, os.environ))
