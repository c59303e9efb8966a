"""The parts of an installation, each a process that may log in as a user of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from api.auth.token_store import ensure_admin_token
from local_stack.ports import free_port
from tests.kafka import wait_until

ENERGY = Path(sys.executable).with_name("energy")
COMMAND_SECONDS = 90
PART_CHARACTERS = 2_000
RESTART_ME = 75
#: Which user each command is run by.
USERS = {
    "worker": "energy-worker",
    "api": "energy-api",
    "load": "energy-importer",
    "backfill": "energy-importer",
    "simulate": "energy-device",
}


class Installation:
    """Topics, workers and API of one ENERGY_PREFIX; everybody comes in by the same way."""

    def __init__(
        self,
        login: Callable[[str], dict[str, str]],
        directory: Path,
        prefix: str = "",
        copies: int = 1,
    ) -> None:
        """`login` says for a user how to come in: KAFKA_BOOTSTRAP_SERVERS, and what goes with it.

        `copies` is of how many brokers each topic is.
        """
        self.prefix, self._login, self.directory, self._copies = prefix, login, directory, copies
        self.api_port = free_port()
        self._running: list[Running] = []

    def environ(self, command: str) -> dict[str, str]:
        """What a command is run with."""
        home = self.directory / command
        home.mkdir(mode=0o700, exist_ok=True)
        return {
            "PATH": os.environ["PATH"],
            "ENERGY_HOME": str(home),
            "ENERGY_PREFIX": self.prefix,
            "ENERGY_PARTITIONS": "2",
            "ENERGY_REPLICATION_FACTOR": str(self._copies),
            "API_PORT": str(self.api_port),
            **self._login(USERS.get(command, "energy-operator")),
        }

    def run(self, command: str, *arguments: str, code: int = 0, **environ: str) -> str:
        """Run a command to its end; returns what it printed."""
        began, printed = time.monotonic(), []
        process = subprocess.Popen(
            [ENERGY, command, *arguments],
            env=self.environ(command) | environ,
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        late = threading.Timer(COMMAND_SECONDS, process.kill)
        late.start()
        assert process.stdout is not None
        with process:
            for line in process.stdout:
                printed.append((time.monotonic() - began, line))
        late.cancel()
        if process.returncode != code:
            # When each line came, and what others had to say: here is where the time went.
            told = "".join(f"{seconds:6.1f} s: {line}" for seconds, line in printed)
            parts = "\n".join(each.text[-PART_CHARACTERS:] for each in self._running)
            ended = f"ended with {process.returncode} after {time.monotonic() - began:.1f} s"
            raise AssertionError(f"{command} {arguments} {ended}:\n{told}\nthe others:\n{parts}")
        return "".join(line for _, line in printed)

    def keep_running(self, command: str, *arguments: str, **environ: str) -> Running:
        """Run a command until the end of the test, again after 75, as a supervisor would."""
        log = self.directory / f"{len(self._running)}-{command}.log"
        running = Running([str(ENERGY), command, *arguments], self.environ(command) | environ, log)
        self._running.append(running)
        return running

    def start(self) -> tuple[Running, Running]:
        """Create the topics; return worker and API, which serves."""
        self.run("topics", "create")
        worker, api = self.keep_running("worker"), self.keep_running("api")
        self.make_token()
        wait_until(self.is_ready, "the API serves", 60)
        return worker, api

    def get(self, path: str) -> Any:
        """Ask the API, as the admin."""
        return self._ask(urllib.request.Request(self._url(path)))

    def totals(self) -> dict[str, str]:
        """Every device's exact total, as the API has it."""
        answer = self.get("/v0/pipes/energy_consumption_by_device.json?exact=true")
        return {row["device_id"]: row["total_energy_consumed_exact"] for row in answer["data"]}

    def post(self, path: str, rows: list[dict[str, Any]], **headers: str) -> Any:
        """Write readings to the API, as the admin."""
        body = "\n".join(map(json.dumps, rows)).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self._ask(urllib.request.Request(self._url(path), body, named))

    def refused(self, path: str, rows: list[dict[str, Any]]) -> str:
        """Write with an Idempotency-Key; returns what a refusal says."""
        try:
            return json.dumps(self.post(path, rows, Idempotency_Key="a-key"))
        except urllib.error.HTTPError as error:
            return error.read().decode()

    def make_token(self) -> None:
        home = Path(self.environ("api")["ENERGY_HOME"])
        home.mkdir(mode=0o700, exist_ok=True)
        self._token = ensure_admin_token(home)

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.api_port}/ready", timeout=5):
                return True
        except OSError:
            return False

    def close(self) -> None:
        """End all; pytest shows what each has said last where a test has failed."""
        for each in self._running:
            each.stop()
            print(f"== {each.name} {each.exit_codes}\n{each.text[-4_000:]}")

    def _url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.api_port}{path}"

    def _ask(self, request: urllib.request.Request) -> Any:
        request.add_header("Authorization", f"Bearer {self._token}")
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)


class Running:
    """A process that is started again when it asks for it."""

    def __init__(self, command: list[str], environ: dict[str, str], log: Path) -> None:
        self._command, self._environ, self._log = command, environ, log
        self.name = command[1]
        self.exit_codes: list[int] = []
        self._wanted = True
        self._process = self._start()
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self._thread.start()

    @property
    def text(self) -> str:
        """All that was printed until now."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def wait_line(self, part: str, seconds: float = 60) -> None:
        """Wait for a text in what it prints."""
        wait_until(lambda: part in self.text or self._fail(), f"{part!r}", seconds)

    def stop(self) -> int:
        """Ask it to end; returns its exit code."""
        self._wanted = False
        self._process.terminate()
        self._thread.join(60)
        return self.exit_codes[-1]

    def _fail(self) -> bool:
        assert self._thread.is_alive(), f"ended with {self.exit_codes}: {self.text[-3000:]}"
        return False

    def _start(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                self._command,
                env=self._environ,
                cwd=self._log.parent,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _keep(self) -> None:
        while True:
            self.exit_codes.append(self._process.wait())
            if not self._wanted or self.exit_codes[-1] != RESTART_ME:
                return
            self._process = self._start()
