"""A part as a process: its lines, its end, its leash."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from local_stack.parts import ModulePart
from tests.kafka import wait_until
from tests.pids import is_running
from tests.waiting import until

STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("here", flush=True)
time.sleep(600)
"""
TALKS = """
import sys
print("one"); print("two", file=sys.stderr); sys.stdout.write("x" * 20_000); sys.exit(7)
"""


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "stubborn.py").write_text(STUBBORN)
    (tmp_path / "talks.py").write_text(TALKS)
    return {**os.environ, "PYTHONPATH": str(tmp_path)}


async def test_lines_carry_the_name_of_the_part(environ: dict[str, str]) -> None:
    lines: list[str] = []
    part = ModulePart("worker-0", ["talks"], environ, lines.append)
    await part.start()
    assert await part.wait() == 7
    assert {"[worker-0] one", "[worker-0] two"} <= set(lines)
    assert max(map(len, lines)) < 10_000


async def test_a_part_that_ignores_sigterm_is_killed_at_its_deadline(
    environ: dict[str, str],
) -> None:
    lines: list[str] = []
    part = ModulePart("api", ["stubborn"], environ, lines.append)
    await part.start()
    waiting = asyncio.create_task(part.wait())
    await until(lambda: "[api] here" in lines)
    await part.stop(0.2)
    assert await waiting == -signal.SIGKILL
    assert "api did not end within 0.2 s, killed" in lines
    await part.stop(0.2)


def test_a_part_does_not_outlive_a_killed_parent(environ: dict[str, str]) -> None:
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import os, subprocess, sys, time\n"
            "leash = 'local_stack.die_with_parent'\n"
            "leashed = [sys.executable, '-m', leash, str(os.getpid()), 'stubborn']\n"
            "print(subprocess.Popen(leashed).pid, flush=True)\n"
            "time.sleep(600)",
        ],
        env=environ,
        stdout=subprocess.PIPE,
        text=True,
    )
    child = int(parent.stdout.readline())
    assert parent.stdout.readline() == "here\n"
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: not is_running(child), "the child is gone", seconds=5)


async def test_ops_b9_a_part_that_ends_just_before_it_is_killed_is_stopped(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    part = ModulePart("api", ["stubborn"], environ, lines.append)
    await part.start()
    await until(lambda: "[api] here" in lines)
    kill = os.killpg

    def kill_what_is_gone(group: int, number: int) -> None:
        kill(group, number)
        raise ProcessLookupError

    monkeypatch.setattr(os, "killpg", kill_what_is_gone)
    await part.stop(0.1)
    assert part.pid is not None
    wait_until(lambda: not is_running(part.pid or 0), "the process is gone", seconds=5)
