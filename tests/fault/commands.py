"""`energy` as an operator runs it beside a pipeline: the command, its exit code, its words."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ENERGY = str(Path(sys.executable).with_name("energy"))
#: The views of a partition whose worker was killed are apart until the next one works; the machine
#: may be busy.
MEET_SECONDS = "180"
_balance = re.compile(r"the books of view version \d+ balance: ").match


def energy(environ: Mapping[str, str], *arguments: str, seconds: float = 400) -> str:
    """Run it and return what it says. Fails where it does not end with 0."""
    done = _run(environ, *arguments, seconds=seconds)
    assert done.returncode == 0, f"energy {' '.join(arguments)}: {_said(done)}"
    return done.stdout


class Running:
    """A command that runs until it ends by itself."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process, self._log = process, log

    def wait_said(self, words: str, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while words not in self.said():
            assert not self._has_failed(), f"it ended before it said {words!r}: {self.said()}"
            late = f"it did not say {words!r} within {seconds:g} s: {self.said()}"
            assert time.monotonic() < deadline, late
            time.sleep(0.1)

    def wait_done(self, seconds: float) -> None:
        code = self._process.wait(seconds)
        assert code == 0, f"it ended with {code}: {self.said()}"

    def said(self) -> str:
        return self._log.read_text(errors="replace")

    def _has_failed(self) -> bool:
        return self._process.poll() is not None


@contextmanager
def running(environ: Mapping[str, str], *arguments: str) -> Iterator[Running]:
    """Start it beside the test; it is ended at the latest when that goes on without it."""
    log = Path(environ["ENERGY_HOME"], f"command-{time.monotonic_ns()}.log")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [ENERGY, *arguments],
            env={"PATH": os.environ["PATH"], **environ},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        yield Running(process, log)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(20)


class Books:
    """`energy check`, again and again."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.checks = 0
        #: What it said each time that it did not end with 0, or not with a balance.
        self.wrong: list[str] = []

    def check(self) -> str:
        """Run it on the version that is live; returns what it says, without the long sum."""
        done = _run(self._environ, "check", "--wait", MEET_SECONDS)
        self.checks += 1
        if done.returncode != 0 or not _balance(done.stdout):
            self.wrong.append(f"energy check: {_said(done)}")
        return done.stdout.partition(", sum")[0].strip()


def _run(
    environ: Mapping[str, str], *arguments: str, seconds: float = 400
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ENERGY, *arguments],
        env={"PATH": os.environ["PATH"], **environ},
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def _said(done: subprocess.CompletedProcess[str]) -> str:
    return f"it ended with {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
