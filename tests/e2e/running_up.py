"""`energy up` as a user runs it: a process with a terminal's signals, judged by what it prints."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil

from local_stack.ports import free_port
from tests import http_client
from tests.kafka import wait_until
from tests.printing_process import PrintingProcess

ENERGY = [str(Path(sys.executable).with_name("energy"))]
READY_SECONDS = 60
"""For a first start on a loaded machine; what is promised is measured where it is promised."""


class RunningUp(PrintingProcess):
    """One `energy up` on a home and ports of its own."""

    def __init__(
        self, home: Path, *arguments: str, command: Sequence[str] = ENERGY, **environ: str
    ) -> None:
        self.home = home
        self.api_port = int(environ.get("API_PORT", free_port()))
        self.broker_port = int(environ.get("ENERGY_BROKER_PORT", free_port()))
        self.environ = {
            **os.environ,
            "ENERGY_HOME": str(home),
            "API_PORT": str(self.api_port),
            "ENERGY_BROKER_PORT": str(self.broker_port),
            **environ,
        }
        super().__init__(
            [*command, "up", *arguments],
            env=self.environ,
            # Not a directory from which our packages could be imported by accident.
            cwd=home.parent,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )

    def wait_ready(self, seconds: float = READY_SECONDS) -> None:
        """Wait for the line that says so."""
        self.wait_line(f"ready http://127.0.0.1:{self.api_port}", seconds)
        # The text to paste comes after it.
        self.wait_line("energy_consumption_by_device", 5)
        wait_until(lambda: len(self.pasted()) == 2, "both curl commands are printed")

    def wait_line(self, part: str, seconds: float = READY_SECONDS) -> str:
        """Wait for a line that contains this; fails with all that was printed."""

        def found() -> str:
            assert self._process.poll() is None, f"up ended:\n{self.text}"
            return next((line for line in list(self.lines) if part in line), "")

        try:
            return wait_until(found, f"a line with {part!r}", seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.text}") from None

    @property
    def text(self) -> str:
        """All that was printed until now."""
        return "\n".join(list(self.lines))

    def pasted(self) -> list[str]:
        """The curl commands as a user would paste them, over several lines each."""
        return [
            match.strip() for match in re.findall(r"^curl .*?\n\n", self.text + "\n\n", re.M | re.S)
        ]

    def get(self, path: str) -> Any:
        """GET with the admin token; the JSON of the answer, None if there is none."""
        token = (self.home / "admin_token").read_text().strip()
        answer = http_client.get(self.api_port, path, token, seconds=5)
        return json.loads(answer.text) if answer.status == 200 else None

    def family(self) -> list[psutil.Process]:
        """Every process that it started, the broker's too."""
        return psutil.Process(self._process.pid).children(recursive=True)

    def part(self, *words: str) -> psutil.Process:
        """The process of one part, by words of its command line (or environment)."""

        def found() -> psutil.Process | None:
            for process in self.family():
                try:
                    told = " ".join([*process.cmdline(), *map("=".join, process.environ().items())])
                except psutil.Error:
                    continue
                if all(word in told for word in words):
                    return process
            return None

        process = wait_until(found, f"a process with {words}")
        assert process is not None
        return process

    def end(self, how: signal.Signals) -> tuple[int, float]:
        """Send the signal to `up` alone; returns its exit code and how long it took."""
        began = time.monotonic()
        self._process.send_signal(how)
        code = self._process.wait(60)
        took = time.monotonic() - began
        self._reader.join(5)
        return code, took

    def kill(self) -> None:
        """Leave nothing behind, whatever the test came to."""
        if self.is_running:
            # Its children hold its output open.
            family = self.family()
            self._process.kill()
            self._process.wait()
            for process in family:
                try:
                    process.kill()
                except psutil.NoSuchProcess:
                    pass
        self.release()


UpFactory = Callable[..., RunningUp]


def alive(family: list[psutil.Process]) -> list[psutil.Process]:
    """Those that still run; a pid that was given to somebody else does not count."""
    return [
        process
        for process in family
        if process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    ]
