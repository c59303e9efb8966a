"""`energy up`, `broker`, `worker` and `api`: what runs in the foreground until it is stopped."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import typer

from cli.invocation import environ_of, is_debug
from local_stack.signals import Stop

MOST_WORKERS = 64


def up(
    context: typer.Context,
    demo: bool = typer.Option(False, "--demo", help="Add a simulated fleet, 100 readings/s."),
    workers: int = typer.Option(1, min=1, max=MOST_WORKERS, help="Number of workers."),
    no_broker: bool = typer.Option(
        False, "--no-broker", help="Use the cluster at KAFKA_BOOTSTRAP_SERVERS instead."
    ),
    home: Path | None = typer.Option(None, help="Directory for state, instead of ENERGY_HOME."),
) -> None:
    """Run a broker, workers and the API on this machine until Ctrl-C."""
    from local_stack.up import UpOptions
    from local_stack.up import up as run_stack

    options = UpOptions(workers, with_broker=not no_broker, with_demo=demo, home=home)
    raise typer.Exit(run_stack(options, environ_of(context), say))


def broker(context: typer.Context) -> None:
    """Run only the local broker until Ctrl-C; its data is in ENERGY_HOME."""
    from local_stack.broker.java import check_broker_parts
    from local_stack.broker.process import LocalBroker
    from local_stack.home import open_home
    from operations.settings import BrokerSettings

    settings = BrokerSettings.load(environ_of(context))
    check_broker_parts(say)
    local = LocalBroker(open_home(settings.home) / "broker", settings.broker_port)
    with Stop() as stop:
        try:
            local.start()
            local.wait_ready(say=say, should_stop=stop.is_set)
            if not stop.is_set():
                say(f"ready {local.bootstrap_servers}")
            while not stop.event.wait(0.2):
                if local.pid is None:
                    raise local.failure()
        finally:
            local.stop()
    raise typer.Exit(stop.exit_code)


def worker(
    context: typer.Context,
    accept_lost_offsets: list[str] | None = typer.Option(
        None,
        metavar="PARTITION:FIRST-LAST",
        help="Skip exactly these offsets, which were deleted or are in a damaged batch.",
    ),
    view_version: int | None = typer.Option(
        None, min=1, help="Work on this view version instead of the live one."
    ),
) -> None:
    """Run one worker until Ctrl-C; same as python -m stream_app."""
    from stream_app.__main__ import main

    environ = dict(environ_of(context))
    if accept_lost_offsets:
        environ["STREAM_APP_ACCEPT_LOST_OFFSETS"] = ",".join(accept_lost_offsets)
    if view_version is not None:
        environ["STREAM_APP_VIEW_VERSION"] = str(view_version)
    raise typer.Exit(main(environ, debug=is_debug(context)))


def api(context: typer.Context) -> None:
    """Run the HTTP server until Ctrl-C; same as python -m api.

    With API_PROCESSES=N in the environment, N processes serve.
    """
    from api.__main__ import main

    raise typer.Exit(main(environ_of(context), debug=is_debug(context)))


def say(line: str) -> None:
    """Print a line at once; when nobody reads any more, stop as Ctrl-C would."""
    try:
        print(line, flush=True)
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - until the end
        os.kill(os.getpid(), signal.SIGTERM)
