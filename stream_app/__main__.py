"""`python -m stream_app`, the same as `energy worker`: environment, signals, exit code."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import shutil
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, NoReturn

from contract import build
from contract.command_line import is_debug
from contract.errors import CorruptRecord, SettingError
from contract.exit_codes import INTERRUPTED, RESTART_ME, end_with
from contract.prefix import use_prefix
from kafka_io.cluster import Cluster
from kafka_io.errors import ClusterError
from stream_app import metrics
from stream_app.app import create_app
from stream_app.changelog.prefill import has_to_warm_up, warm_up
from stream_app.checks.preflight import examine
from stream_app.errors import DirectoryInUse, WorkerError
from stream_app.faust_adapter.app import ChunkApp
from stream_app.faust_adapter.worker import Worker
from stream_app.process.gc_tuning import collect_seldom
from stream_app.process.health import Readiness, serving
from stream_app.process.logging_setup import set_up_logging
from stream_app.settings import WorkerSettings

log = logging.getLogger("stream_app")


def main(environ: Mapping[str, str] = os.environ, *, debug: bool = False) -> int:
    """Run a worker; returns the exit code of the contract."""
    set_up_logging(debug=debug)
    # Until Faust's own handler is there: nothing runs yet, so nothing has to be finished.
    signal.signal(signal.SIGTERM, _end_early)
    try:
        use_prefix(environ)
        settings = WorkerSettings.load(environ)
        make_directory(settings.state_directory())
        metrics.BUILD.info(build.labels())
        # Before all that takes long: a probe that finds nobody has the worker killed.
        readiness = Readiness("looking at the cluster")
        with serving(settings.http_host, settings.http_port, readiness):
            return start(settings, readiness)
    except (SettingError, CorruptRecord, WorkerError, ClusterError, OSError) as error:
        return end_with(error, "energy worker")
    except KeyboardInterrupt:
        return INTERRUPTED


def start(settings: WorkerSettings, readiness: Readiness) -> int:
    """Check what the worker relies on, fill its stores, and run it; returns the exit code."""
    cluster = Cluster(settings)
    settings = settings.with_living(cluster.living())
    basis = asyncio.run(examine(settings, cluster))
    for dropped in basis.dropped:
        shutil.rmtree(settings.view_directory(dropped), ignore_errors=True)
    directory = settings.view_directory(basis.view_version)
    with lock_directory(directory):
        app = create_app(settings, basis)
        readiness.warnings, readiness.single_batches = app.warnings, app.single_batches
        readiness.not_ready_because = app.not_ready_because
        if has_to_warm_up(directory, cluster, basis.view_version):
            for recovery, close_store in app.recoveries:
                warm_up(recovery, basis.partitions, close_store)
        return run(app)


def _end_early(_number: int, _frame: object) -> NoReturn:
    os._exit(0)


def make_directory(path: Path) -> None:
    """Make a state directory, for nobody else to look into. Raises: OSError."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)


def lock_directory(path: Path) -> IO[str]:
    """Lock a view version's state directory for this process. Raises: DirectoryInUse, OSError."""
    make_directory(path)
    handle = (path / "worker.lock").open("a")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.close()
        raise DirectoryInUse(
            f"another worker runs on {path.parent}; give each its own STREAM_APP_DATADIR"
        ) from None
    return handle


def run(app: ChunkApp) -> int:
    """Run the app until it is stopped; returns the exit code."""
    collect_seldom()
    options: dict[str, Any] = {"loglevel": None, "quiet": True, "override_logging": False}
    worker = Worker(app, redirect_stdouts=False, blocking_timeout=0, **options)
    worker.spinner = None
    try:
        worker.execute_from_commandline()
    except SystemExit as error:
        if worker.stopped_by is not None:
            return worker.exit_code
        log.error("the worker ended by itself (%s); restart it", error.code)
        return RESTART_ME
    return worker.exit_code


if __name__ == "__main__":
    sys.exit(
        main(
            debug=is_debug(
                "stream_app",
                "Run one worker until Ctrl-C; the same as `energy worker`.",
                "STREAM_APP_DATADIR=/var/lib/energy/worker-0",
            )
        )
    )
