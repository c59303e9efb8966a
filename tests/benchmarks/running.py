"""A whole pipeline of its own for a benchmark: broker, topics, first view, workers, API."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from api.auth.token_store import ensure_admin_token
from kafka_io.cluster_changes import ClusterAdmin
from local_stack.broker.process import LocalBroker
from local_stack.ports import free_port
from operations.settings import TopicSettings
from operations.topics.declared import create
from operations.views.birth import ensure_first_view

READY_SECONDS = 60


class Pipeline(NamedTuple):
    """What a client needs to know, and the processes for their CPU time."""

    bootstrap_servers: str
    port: int
    token: str
    broker_pid: int
    worker: subprocess.Popen[bytes]
    api: subprocess.Popen[bytes]


@contextmanager
def running_pipeline(directory: Path) -> Iterator[Pipeline]:
    """Start everything, wait until reads are served; ends what it started."""
    with ExitStack() as stack:
        broker = stack.enter_context(LocalBroker(directory / "broker", port=0))
        port = free_port()
        environ = dict(os.environ) | {
            "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
            "ENERGY_HOME": str(directory),
            "ENERGY_REPLICATION_FACTOR": "1",
            "API_PORT": str(port),
        }
        settings = TopicSettings.load(environ)
        create(ClusterAdmin(settings), settings)
        ensure_first_view(ClusterAdmin(settings), 1, rules_id=settings.rules_id)
        token = ensure_admin_token(directory)
        worker, api = (
            stack.enter_context(_process(module, environ, directory / f"{module}.log"))
            for module in ("stream_app", "api")
        )
        _wait_until_ready(port)
        yield Pipeline(broker.bootstrap_servers, port, token, broker.pid or 0, worker, api)


@contextmanager
def _process(module: str, environ: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *module.split()], env=environ, stderr=output
        )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(15)


def _wait_until_ready(port: int) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=2):
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
    raise RuntimeError(f"the API is not ready after {READY_SECONDS} s")
