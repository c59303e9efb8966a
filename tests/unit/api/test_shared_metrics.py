"""One scrape of several processes: sums of what each has counted, whoever was killed meanwhile."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROCESS = """
import os, signal, sys
from pathlib import Path
from types import SimpleNamespace
from api.http.allowance import Budget
from api.metrics import Metrics
from api.shared_metrics import share_numbers
from tests.api_doubles import HandmadeLive
from api.view.end_offsets import LagWatch

directory, name = Path(sys.argv[1]), sys.argv[2]
share_numbers(directory, name)
metrics = Metrics(directory, name)
budgets = tuple(Budget(1_000, 0.5, "bytes") for _ in range(3))
waiting = SimpleNamespace(seconds=dict)
metrics.watch(HandmadeLive(None), LagWatch({}), waiting, budgets)
for step in sys.argv[3:]:
    if step == "count":
        metrics.request("/v0/devices", 200, 0.004)
        metrics.streams.inc()
        budgets[0].take("somebody", 7)
        metrics.note()
    elif step == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    else:
        print(metrics.text().decode())
"""
PARENT = """
import sys
from pathlib import Path
from api.shared_metrics import ParentMetrics

metrics = ParentMetrics(Path(sys.argv[1]))
for name in sys.argv[2:]:
    metrics.ended(name, True)
"""


def run(text: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", text, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, -9), done.stderr
    return done.stdout


def numbers(text: str) -> dict[str, float]:
    lines = [line.rsplit(" ", 1) for line in text.split("\n") if line and line[0] != "#"]
    return {name: float(value) for name, value in lines}


def test_a_scrape_has_the_sum_over_processes_and_it_never_falls(tmp_path: Path) -> None:
    directory = str(tmp_path)
    run(PARENT, directory)
    run(PROCESS, directory, "http-0", "count", "count")
    run(PROCESS, directory, "http-1", "count", "killed")
    found = numbers(run(PROCESS, directory, "http-2", "count", "text"))
    requests = 'api_requests_total{route="/v0/devices",status="200"}'
    assert found[requests] == 4
    assert found['api_request_seconds_count{route="/v0/devices"}'] == 4
    assert found['api_request_seconds_bucket{le="0.005",route="/v0/devices"}'] == 4
    assert found['api_request_seconds_bucket{le="0.0025",route="/v0/devices"}'] == 0
    assert (found["api_streams"], found["api_bodies_bytes"]) == (4, 7 + 14 + 7)
    assert found['api_process_restarts_total{process="http"}'] == 0
    assert found['api_process_serving{process="http-1"}'] == 0
    assert found["api_view_running"] == 0
    assert any(name.startswith("energy_build_info{") for name in found)
    # What a killed one had counted stays, what it held is gone.
    run(PARENT, directory, "http-1", "follower")
    found = numbers(run(PROCESS, directory, "http-1", "count", "text"))
    assert found[requests] == 5
    assert (found["api_streams"], found["api_bodies_bytes"]) == (2 + 1 + 1, 14 + 7 + 7)
    assert found['api_process_restarts_total{process="http"}'] == 1
    assert found['api_process_restarts_total{process="follower"}'] == 1


def test_a_process_that_is_away_serves_nothing(tmp_path: Path) -> None:
    run(PROCESS, str(tmp_path), "http-0", "count")
    run(PARENT, str(tmp_path), "http-0")
    found = numbers(run(PROCESS, str(tmp_path), "http-1", "text"))
    assert {name for name in found if name.startswith("api_process_serving")} == {
        'api_process_serving{process="http-1"}'
    }
