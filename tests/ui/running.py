"""The server of tests.ui.serving, or a larger one, as a process that is written to and cut off."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from local_stack.ports import free_port
from tests import http_client
from tests.kafka import wait_until

ROOT = Path(__file__).parents[2]
STOP_SECONDS = 15


class RunningServer:
    """One server on a home and a port of its own; `serving`: its module."""

    def __init__(
        self, home: Path, readings: list[dict[str, Any]], serving: str = "tests.ui.serving"
    ) -> None:
        self._serving = serving
        self.home = home
        self.port = free_port()
        self._events = home.parent / f"{home.name}.ndjson"
        self._events.write_text("".join(json.dumps(each) + "\n" for each in readings))
        self._log = home.parent / f"{home.name}.log"
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, or start it again: with the first readings alone."""
        with open(self._log, "ab") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", *self._serving.split()),
                    *(str(self.home), str(self.port), str(self._events)),
                ],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self.process.stdout is not None
        self.token = self.process.stdout.readline().strip()
        assert self.token, self._log.read_text()
        wait_until(self._answers, "the server answers")

    def _answers(self) -> bool:
        return http_client.get(self.port, "/health", seconds=5).status == 200

    def kill(self) -> None:
        """Cut every connection at once."""
        self.process.kill()
        self._reap()

    def stop(self) -> None:
        """End it as it is meant to be ended."""
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        self._reap()

    def _reap(self) -> None:
        self.process.wait(STOP_SECONDS)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def post(self, *readings: dict[str, Any]) -> dict[str, Any]:
        """Write readings over HTTP; returns the answer."""
        body = "\n".join(json.dumps(each) for each in readings)
        path = "/v0/events?name=energy_consumption&wait=true"
        answer = http_client.post(self.port, path, body, self.token)
        assert answer.status in (200, 202), answer
        return dict(json.loads(answer.text))
