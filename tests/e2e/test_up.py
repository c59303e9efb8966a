"""`energy up`: from nothing to answers, through deaths of its parts, to nothing left."""

import json
import os
import signal
import subprocess
import time

import pytest
from playwright.sync_api import expect

from tests.chromium import chromium
from tests.e2e import readme
from tests.e2e.running_up import ENERGY, RunningUp, UpFactory, alive
from tests.kafka import Kafka, wait_until

STOP_SECONDS = 10
SECOND_START_SECONDS = 15

pytestmark = pytest.mark.timeout(180)


def readings_of(up: RunningUp, device: str) -> int:
    found = up.get(f"/v0/devices/{device}")
    return int(found["readings"]) if found else 0


def energy(up: RunningUp, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run another command beside it."""
    environ = up.environ | {"KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{up.broker_port}"}
    return subprocess.run(
        [*ENERGY, *arguments], env=environ, capture_output=True, text=True, timeout=60, check=False
    )


def send(up: RunningUp, device: str, count: int) -> None:
    reading = {
        "timestamp": "2025-04-30 10:11:21",
        "device_id": device,
        "energy_consumed": 1,
        "location": "Cellar",
    }
    Kafka(f"127.0.0.1:{up.broker_port}").write(
        "energy_consumption", [json.dumps(reading).encode()] * count
    )


def look_at_the_page(up: RunningUp) -> None:
    """Open the address that is printed, as whoever clicks on it."""
    address = up.wait_line("page   ").split()[1]
    with chromium() as browser:
        page = browser.new_page()
        page.goto(address)
        expect(page.locator("#fleet .grand")).to_have_text("3\u202f106\u202f278\u202f102")
        expect(page.locator("#connection")).to_have_text("Live")
        expect(page.locator("#devices tbody tr")).to_contain_text(["device_7"])


def test_the_pasted_lines_work_and_ctrl_c_leaves_nothing(up_factory: UpFactory) -> None:
    up = up_factory()
    up.wait_ready()
    post, get = up.pasted()
    posted = subprocess.run(["/bin/sh", "-c", post], capture_output=True, text=True, check=True)
    assert json.loads(posted.stdout) == {"successful_rows": 1, "quarantined_rows": 0}
    got = subprocess.run(["/bin/sh", "-c", get], capture_output=True, text=True, check=True)
    assert json.loads(got.stdout)["data"] == [
        {"device_id": "device_7", "total_energy_consumed": 3106278102}
    ]
    look_at_the_page(up)
    assert os.stat(up.home).st_mode & 0o777 == 0o700
    assert os.stat(up.home / "admin_token").st_mode & 0o777 == 0o600

    status = json.loads(energy(up, "status", "--json").stdout)
    assert status["view_version"] == 1
    assert status["problems"] == []
    assert sum(partition["lag_records"] for partition in status["partitions"]) == 0
    assert all("worker" in partition["owner"] for partition in status["partitions"])

    second = energy(up, "up", "--home", str(up.home))
    assert second.returncode == 2
    assert second.stderr.count("\n") == 1
    assert "another `energy up` runs on" in second.stderr

    family = up.family()
    assert len(family) >= 3
    code, took = up.end(signal.SIGINT)
    assert code == 130
    assert took <= STOP_SECONDS
    assert alive(family) == []
    assert "did not end" not in up.text
    assert "Traceback" not in up.text

    began = time.monotonic()
    again = up_factory()
    again.wait_ready()
    took = time.monotonic() - began
    print(f"second start: ready after {took:.1f} s")
    assert took <= SECOND_START_SECONDS
    assert readings_of(again, "device_7") == 1
    family = again.family()
    code, took = again.end(signal.SIGTERM)
    assert code == 0
    assert took <= STOP_SECONDS
    assert alive(family) == []


def test_x48_each_part_that_is_killed_comes_back(up_factory: UpFactory) -> None:
    up = up_factory("--workers", "2")
    up.wait_ready()
    send(up, "x48", 100)
    parts = {
        "worker-0": ("stream_app", f"STREAM_APP_DATADIR={up.home}/worker-0"),
        "api": ("local_stack.die_with_parent", " api"),
        "broker": ("kafka.Kafka",),
    }
    for number, (name, words) in enumerate(parts.items(), start=1):
        dead = up.part(*words)
        dead.kill()
        line = up.wait_line(f"{name} was ended by SIGKILL")
        assert line.endswith("; it is restarted in 1 s")
        wait_until(
            lambda words=words, dead=dead: up.part(*words).pid != dead.pid, f"{name} runs again"
        )
        wait_until(
            lambda number=number: readings_of(up, "x48") == 100 * number,
            f"{100 * number} readings are counted after {name} was killed",
            seconds=60,
        )
        send(up, "x48", 100)
    wait_until(lambda: readings_of(up, "x48") == 400, "all are counted", seconds=60)
    assert up.end(signal.SIGTERM)[0] == 0


def test_the_demo_does_what_the_readme_shows_and_nothing_outlives_its_kill(
    up_factory: UpFactory,
) -> None:
    up = up_factory("--demo")
    up.wait_ready()
    assert readme.compare(up) == 7
    up.part("simulate")
    family = up.family()
    up.end(signal.SIGKILL)
    wait_until(lambda: alive(family) == [], "all parts are gone", seconds=5)


def test_ctrl_c_while_it_starts_leaves_nothing(up_factory: UpFactory) -> None:
    up = up_factory()
    up.wait_line("broker: starting")
    family = up.family()
    code, took = up.end(signal.SIGINT)
    assert code == 130
    assert took <= STOP_SECONDS
    assert alive(family) == []
    assert "Traceback" not in up.text
