"""One `energy api` as a user starts it, on the cluster and home of a pipeline."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from api.auth.token_store import ensure_admin_token
from local_stack.ports import free_port

COMMAND = [str(Path(sys.executable).with_name("energy")), "api"]


class ApiProcess:
    """Killed and started again on the same port and home."""

    def __init__(self, home: Path, environ: Mapping[str, str]) -> None:
        self.port = free_port()
        self.token = ensure_admin_token(home)
        self.log_file = home / "api.log"
        self._environ = {
            "PATH": os.environ["PATH"],
            **environ,
            "ENERGY_HOME": str(home),
            "API_PORT": str(self.port),
        }
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process and self._process.poll() is None else None

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def start(self) -> None:
        with self.log_file.open("ab") as output:
            self._process = subprocess.Popen(
                COMMAND, env=self._environ, stdout=output, stderr=output, stdin=subprocess.DEVNULL
            )

    def kill(self) -> None:
        """SIGKILL, and gone; safe when it never ran."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)

    def stop(self, seconds: float = 10) -> int:
        """SIGTERM; returns its exit code."""
        self._process.terminate()
        return self._process.wait(seconds)
