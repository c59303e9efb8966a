"""X40: a worker or an API process without file handles, and with them again."""

from __future__ import annotations

import http.client
import os
import resource
from pathlib import Path

import pytest

from tests.fault.pipeline import Pipeline
from tests.fault.server import ApiProcess
from tests.fault.workers import run_to_the_end
from tests.http_client import get
from tests.kafka import wait_until


def first_free_handle(pid: int) -> int:
    """The number that the next file or connection of a process gets."""
    used = {int(file.name) for file in Path(f"/proc/{pid}/fd").iterdir()}
    return min(set(range(len(used) + 1)) - used)


def limit(pid: int, what: int, soft: int) -> None:
    _, hard = resource.prlimit(pid, what)
    resource.prlimit(pid, what, (soft, hard))


def lets_nobody_in(api: ApiProcess) -> bool:
    """Take every handle away that is free now; one that was in use a moment ago may be again."""
    assert api.pid is not None
    limit(api.pid, resource.RLIMIT_NOFILE, first_free_handle(api.pid))
    return get(api.port, "/health", seconds=1).status == 0


def applied_all(pipeline: Pipeline, seconds: float = 60) -> None:
    pipeline.fleet.flush()
    pipeline.wait_applied("all", seconds=seconds)


@pytest.mark.timeout(150)
def test_x40_a_worker_without_handles_asks_for_a_restart(pipeline: Pipeline) -> None:
    pipeline.fleet.publish(1_000)
    pipeline.fleet.flush()
    environ = {**pipeline.environ, "PATH": os.environ["PATH"]}
    # None is left for the stores of one view; of the other; for the connections to Kafka, which a
    # fence waits for as it waits for a broker that restarts.
    for handles in (32, 64, 80):
        ended, seconds = run_to_the_end(environ, 75, command=["prlimit", f"--nofile={handles}"])
        print(f"ended after {seconds:.1f} s with {handles} handles")
        assert ended.returncode == 75, ended.stderr
        assert "Too many open files" in ended.stderr
        assert "set aside" not in ended.stderr
        assert "Traceback" not in ended.stderr
    pipeline.workers.add()  # on the same directory
    pipeline.finish()


@pytest.mark.timeout(150)
def test_x40_an_api_without_handles_serves_whom_it_has_and_recovers(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    pipeline.workers.add()
    pipeline.fleet.publish(1_000)
    applied_all(pipeline)
    api = ApiProcess(tmp_path, pipeline.environ)
    known = http.client.HTTPConnection("127.0.0.1", api.port, timeout=10)
    hot, headers = "/v0/devices/hot", {"Authorization": f"Bearer {api.token}"}
    api.start()
    try:
        wait_until(lambda: get(api.port, "/ready").status == 200, api.log, 40)
        known.request("GET", hot, headers=headers)
        last = known.getresponse().read()
        assert api.pid is not None
        wait_until(lambda: lets_nobody_in(api), "nobody is let in")
        known.request("GET", hot, headers=headers)
        answer = known.getresponse()
        assert (answer.status, answer.read()) == (200, last)
        limit(api.pid, resource.RLIMIT_NOFILE, 1_024)
        wait_until(lambda: get(api.port, "/ready").status == 200, f"again: {api.log[-1500:]}", 30)
        assert get(api.port, hot, api.token).text == last.decode()
        assert api.stop() == 0
    finally:
        known.close()
        api.kill()
    assert "Traceback" not in api.log, api.log
