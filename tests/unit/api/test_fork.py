"""A first start as a fork: what it ends with, what it does not inherit, how it is ended."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

FORKED = """
import os, signal, sys, time
from api.processes.fork import Fork

readable, writable = os.pipe()
{work}
fork = Fork(work, [writable])
os.close(writable)
"""


def run(work: str, then: str) -> subprocess.CompletedProcess[str]:
    """Fork in a Python of its own, where no thread of pytest's runs."""
    code = FORKED.format(work=work) + then
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )


@pytest.mark.parametrize(("work", "code"), [("return 3", 3), ("raise OSError('no')", 1)])
def test_it_ends_with_what_its_work_returns(work: str, code: int) -> None:
    done = run(f"def work():\n    {work}\n", "print(fork.wait(30), fork.poll())")
    assert done.stdout == f"{code} {code}\n"
    assert ("OSError: no" in done.stderr) == ("OSError" in work)


def test_it_has_no_handle_but_those_it_is_given() -> None:
    look = "os.write(writable, repr(sorted(map(int, os.listdir('/proc/self/fd')))).encode())"
    work = f"kept = open(os.devnull)\ndef work():\n    {look}\n    return 0\n"
    done = run(work, "fork.wait(30)\nprint(os.read(readable, 1000).decode(), writable)")
    handles, _, writable = done.stdout.rpartition(" ")
    found = [int(each) for each in handles.strip("[]").split(", ")]
    # One more is that of the directory it has looked into.
    assert sorted({*found[:3], int(writable)}) == [0, 1, 2, int(writable)]
    assert len(found) <= 5


def test_it_runs_until_it_is_ended_and_ctrl_c_is_not_its() -> None:
    work = "def work():\n    os.write(writable, b'.')\n    time.sleep(60)\n    return 0\n"
    then = """
os.read(readable, 1)
try:
    fork.wait(0.05)
except Exception as error:
    print(type(error).__name__, fork.poll(), os.getpgid(fork.pid) == fork.pid)
fork.send_signal(signal.SIGTERM)
print(fork.wait(30))
"""
    assert run(work, then).stdout == f"TimeoutExpired None True\n{-signal.SIGTERM}\n"
