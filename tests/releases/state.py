"""State of a release: made once by that build, packed, and compared after each upgrade.

`python -m tests.releases.state` packs what this build leaves behind as the state of its version;
run it when a release is cut, and never again for that version. It is what `energy up` has on a
disk: the broker's logs, the worker's stores, the reader's copy, tokens.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from contract.build import version
from tests.e2e.running_up import ENERGY, RunningUp
from tests.kafka import wait_until

HERE = Path(__file__).parent
EXPECTED, ROWS, TOKEN = "expected.json", "rows.ndjson", "dashboard_token"
SETTINGS = {"ENERGY_PARTITIONS": "2"}
#: What is asked before and after: all that readers see, but for times and offsets.
QUESTIONS = (
    "/v0/pipes/energy_consumption_by_device.json?exact=true",
    "/v0/pipes/energy_consumption_by_location.json",
    "/v0/pipes/energy_consumption_over_time.json?interval=15m&group_by=device_id,location",
    "/v0/pipes/energy_consumption_quarantine.json?limit=100",
)


def archives() -> list[Path]:
    """Return the state of each release, oldest first."""
    return sorted(HERE.glob("*.tar.xz"))


def energy(up: RunningUp, *arguments: str) -> str:
    """Run another command beside it; returns what it printed."""
    environ = up.environ | {"KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{up.broker_port}"}
    done = subprocess.run(
        [*ENERGY, *arguments], env=environ, capture_output=True, text=True, timeout=90, check=False
    )
    assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
    return done.stdout


def answers(up: RunningUp) -> list[Any]:
    """Return what readers see."""
    wait_until(lambda: up.get(QUESTIONS[2]), "the series is served", 60)
    return [up.get(question)["data"] for question in QUESTIONS]


def is_applied(up: RunningUp) -> bool:
    """Tell whether all views have counted everything."""
    found = json.loads(energy(up, "status", "--json"))
    partitions = [each for view in found["views"] for each in view["partitions"]]
    return all(each["lag_records"] == 0 for each in partitions)


def fill(up: RunningUp) -> None:
    """Leave something of everything: readings, a load, refused records, a token."""
    home = up.home
    energy(up, "simulate", "--devices", "20", "--readings", "1000", "--seed", "1", "--bad", "0.01")
    rows = [
        {
            "timestamp": f"2025-03-30 0{hour}:07:00",
            "device_id": "loaded",
            "energy_consumed": f"0.{hour}",
            "location": "Küche",
        }
        for hour in range(10)
    ]
    (home / ROWS).write_text("".join(json.dumps(row) + "\n" for row in rows))
    energy(up, "load", str(home / ROWS))
    scope = "PIPES:READ:energy_consumption_by_device"
    made = energy(up, "token", "create", "--name", "dashboard", "--scope", scope)
    (home / TOKEN).write_text(made.split()[-1])
    wait_until(lambda: is_applied(up), "all is counted", 60)
    (home / EXPECTED).write_text(json.dumps(answers(up)))


def pack(home: Path, archive: Path) -> None:
    """Pack what has to be continued from; locks, logs and what is fetched again are left out."""

    def wanted(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        return None if entry.name.endswith((".lock", ".log.old", "/spool")) else entry

    with tarfile.open(archive, "w:xz") as packed:
        packed.add(home, "home", filter=wanted)


def main(arguments: Sequence[str] = ()) -> None:
    """Make and pack it."""
    archive = HERE / f"{version()}.tar.xz"
    assert not archive.exists(), f"{archive} is there: a release is packed once"
    with tempfile.TemporaryDirectory() as directory:
        up = RunningUp(Path(directory, "home"), **SETTINGS)
        try:
            up.wait_ready()
            fill(up)
            code, _ = up.end(signal.SIGTERM)
            assert code == 0, up.text
            pack(up.home, archive)
        finally:
            up.kill()
    print(f"{archive}: {os.stat(archive).st_size:,} bytes")


if __name__ == "__main__":
    main()
