"""Load from wrk, a load generator in C: one thread, connections kept alive, a closed loop.

Each connection asks again as soon as it is answered. The percentiles are wrk's: it adds the
requests that a slow answer held back. wrk.lua, beside this file, says what is asked.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import msgspec

from local_stack.errors import MissingPart

SCRIPT = Path(__file__).with_suffix(".lua")
#: What is under way at the end is answered within this, or the counts do not agree.
DRAIN_SECONDS = 4
INSTALL = "no wrk on PATH: install it (Debian: apt install wrk; macOS: brew install wrk)"


class Load(msgspec.Struct, frozen=True):
    """How a load was answered; `seconds` from the first request to the last answer.

    `errors` are of sockets and of answers that took longer than DRAIN_SECONDS.
    """

    seconds: float
    answers: dict[int, int]
    p50_us: int
    p99_us: int
    errors: int

    def good(self, status: int) -> int:
        """Return the number of answers. Raises: RuntimeError if any is another one."""
        if self.errors or set(self.answers) != {status}:
            raise RuntimeError(f"answers, by status: {self.answers}, and {self.errors} errors")
        return self.answers[status]


def find() -> str:
    """Return wrk's path. Raises: MissingPart."""
    program = shutil.which("wrk")
    if program is None:
        raise MissingPart(INSTALL)
    return program


def version() -> str:
    """Return what wrk says it is."""
    # It ends with 1, as for any wrong use.
    said = subprocess.run([find(), "--version"], capture_output=True, text=True, check=False)
    return said.stdout.partition("[")[0].strip()


def ask(
    url: str, token: str, connections: int, seconds: float, devices: int, rows: int = 0
) -> Load:
    """Ask for so long. With `rows` each request sends so many readings, else it reads a device.

    Raises: RuntimeError.
    """
    command = [find(), "-t", "1", "-c", str(connections), "--timeout", str(DRAIN_SECONDS)]
    # Readings that are under way must be answered; a read may be cut off.
    command += ["-d", str(round(seconds) + (DRAIN_SECONDS if rows else 0)), "-s", str(SCRIPT)]
    command += [url, "--", str(seconds), str(devices), str(rows)]
    environ = os.environ | {"WRK_TOKEN": token}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    return read(done.stdout + done.stderr)


def read(output: str) -> Load:
    """Find the line of wrk.lua in what wrk printed. Raises: RuntimeError."""
    for line in output.splitlines():
        if line.startswith("{"):
            return msgspec.json.decode(line, type=Load)
    raise RuntimeError(f"wrk has no figures: {output[-2000:]}")
