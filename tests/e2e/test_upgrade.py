"""An upgrade from each release: this build continues from what that one left on its disk."""

from __future__ import annotations

import json
import os
import signal
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.running_up import RunningUp
from tests.http_client import get, post
from tests.kafka import wait_until
from tests.releases.state import (
    EXPECTED,
    ROWS,
    SETTINGS,
    TOKEN,
    answers,
    archives,
    energy,
    is_applied,
)

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(params=archives(), ids=lambda archive: archive.name.removesuffix(".tar.xz"))
def upgraded(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RunningUp]:
    """`energy up` of this build on the home of that release."""
    with tarfile.open(request.param) as packed:
        packed.extractall(tmp_path, filter="data")
    os.chmod(tmp_path / "home", 0o700)
    up = RunningUp(tmp_path / "home", **SETTINGS)
    yield up
    up.kill()


def test_each_release_has_its_state_here() -> None:
    assert archives(), "python -m tests.releases.state makes it"


def test_this_build_continues_from_what_a_release_left(upgraded: RunningUp) -> None:
    up, home = upgraded, upgraded.home
    up.wait_ready()
    expected = json.loads((home / EXPECTED).read_text())
    assert answers(up) == expected
    assert json.loads(energy(up, "status", "--json"))["view_version"] == 1

    by_device = "/v0/pipes/energy_consumption_by_device.json"
    assert get(up.api_port, by_device, (home / TOKEN).read_text()).status == 200

    # What was loaded is known, and counts no second time.
    energy(up, "load", "--resume", str(home / ROWS))
    wait_until(lambda: is_applied(up), "all is counted", 60)
    assert answers(up) == expected

    row = json.loads((home / ROWS).read_text().splitlines()[1])
    assert row["energy_consumed"] == "0.1"
    token = (home / "admin_token").read_text().strip()
    path = "/v0/events?name=energy_consumption&wait=all"
    assert post(up.api_port, path, json.dumps(row), token).status == 200
    found = up.get("/v0/devices/loaded")
    # 0.0 + 0.1 + ... + 0.9, and 0.1 again.
    assert (found["total_energy_consumed_exact"], found["readings"]) == ("4.6", 11)
    energy(up, "check")

    assert up.end(signal.SIGTERM)[0] == 0
    # A reader's copy of another format is made anew; what workers have is continued from.
    workers = [line for line in up.lines if line.startswith("[worker")]
    assert not any("set aside" in line for line in workers), up.text
    assert "Traceback" not in up.text
